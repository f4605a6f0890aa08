"""Linting: what is known to be wrong with a migration from its text, without a server and without running it.

``findings`` lists the rules and what they find. ``scopes``, ``values`` and ``source`` read a file: which
names it has, what an expression is worth, which functions act and which transform. ``writes`` tells what
those write, ``repeats`` what becomes of that when it is done again. The rules are in ``of_files``,
``of_imports``, ``of_acting``, ``of_loops``, ``of_sameness`` and ``of_transforms``; those that ask a server in
``of_servers``. ``comments`` are what an author says of them, ``checking`` puts all that together, ``changed``
asks git. Nothing a run needs is here.
"""

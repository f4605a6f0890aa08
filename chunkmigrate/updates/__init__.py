"""Updates: MongoDB's update language, worked out on one document without a server.

``tree`` is a document of which not all may be known, ``paths`` walks it. ``comparing`` and ``arithmetic`` are
about values, ``arrays`` and ``operators`` what becomes of them, ``changes`` and ``selecting`` what an update
and its filter ask for. Whether all that is so tests/integration/test_foresight.py asks a real server. Nothing
a run needs is here.
"""

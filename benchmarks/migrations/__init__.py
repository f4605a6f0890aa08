"""One migration a shape, named after it: what is changed, the same whichever way it is done."""

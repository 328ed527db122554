"""One adapter a file: a detector's own conventions -> `Face` in source pixels."""

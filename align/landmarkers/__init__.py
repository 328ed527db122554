"""One adapter a file: a landmark model's own conventions -> points and eye centres in source pixels."""

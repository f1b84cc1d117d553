"""What the doctor looks at: one function per trouble, which returns what it found."""

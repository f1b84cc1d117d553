"""`edgekd bench`: a model file of anybody's, measured on targets."""

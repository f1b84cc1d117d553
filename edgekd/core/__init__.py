"""The vocabulary: what everything else is said in. Needs no torch and knows nothing above it."""

"""Several runs beside each other: what was asked for, and what came of it."""

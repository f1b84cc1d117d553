"""Where examples come from and what is done to them."""

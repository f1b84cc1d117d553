"""Losses on what modules inside give: a term's `tap` says which."""

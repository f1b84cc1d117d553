"""The link to a device, and what answers at its other end."""

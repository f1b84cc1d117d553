"""Model and calibration data in, model out."""

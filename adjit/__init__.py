"""Differentiate and compile plain NumPy functions."""

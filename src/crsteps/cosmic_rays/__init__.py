"""Cosmic-ray tools on arrays: hysteresis and clusters."""

"""Dual encoders: CLIP-like models behind one small interface."""

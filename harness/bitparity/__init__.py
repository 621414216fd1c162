"""bitparity: cross-validation of BitNet b1.58 inference engines."""

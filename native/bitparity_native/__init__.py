"""bitparity's own engine: a C++ core that multiplies packed ternary weights as they lie in the file."""

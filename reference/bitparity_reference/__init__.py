"""Bridges to engines that others wrote."""

"""The notebook side of dxforge."""

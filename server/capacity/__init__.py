"""How much of everything a fleet needs: arithmetic over measured coefficients, no I/O."""

"""The values that services pass around: frozen, checked where they are made, no I/O."""

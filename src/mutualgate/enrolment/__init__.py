"""From a client to its credential: an invitation, a signed request, or a key that is made for who cannot make one."""

"""The register, offline: from the share register to control numbers and the public roll. It imports no server."""

"""Bytes on sockets: what slow, broken and hostile clients send to the real web server."""

"""The dashboard: static files that a node serves at `/`. HTML, CSS and ES modules, shipped as they are written."""

"""The only place that knows stpipe, CRDS and private jwst names."""

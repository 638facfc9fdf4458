"""Everything that brings the service up somewhere; the application itself knows nothing of it."""

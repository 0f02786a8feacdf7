"""Questions about a model that numbers answer before anything is run."""

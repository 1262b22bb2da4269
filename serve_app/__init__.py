"""The Ray Serve application: `serve run configs/prod.yaml`."""

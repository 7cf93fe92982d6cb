"""dx.toml: model, load, edit."""

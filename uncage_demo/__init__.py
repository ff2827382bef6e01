"""Interactive demo and attention visualiser for masked generative transformers and UNCAGE."""

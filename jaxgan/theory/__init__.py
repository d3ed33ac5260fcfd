"""The theory of GANs, computed by the functions that train: values, optimal discriminators, divergences."""

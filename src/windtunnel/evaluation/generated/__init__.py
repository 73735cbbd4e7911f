"""Evaluations written by models: generate, filter, balance, validate, look at them; and the published sets.

The method is that of Perez et al. (2022; arXiv:2212.09251), with any model as generator and any as discriminator.
"""

"""Whether people can tell generated text from what people wrote (Brown et al., 2020, Section 3.9.4, Appendix E)."""

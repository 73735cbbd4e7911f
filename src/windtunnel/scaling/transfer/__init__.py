"""What pre-training is worth in data (Hernandez et al., 2021; arXiv:2102.01293).

`surface`: the loss from scratch by size and data, inverted. `effective`: the data transferred, censored where a curve
ends. `estimators`: the law D_T = k D_F^α N^β by the paper's fit of fits and by censored maximum likelihood.
`ossification`, `frontier`, `gap`: where pre-training harms, when it saves compute, and which form the loss follows.
`calculator`: the published law, or one's own, for one's own case.
"""

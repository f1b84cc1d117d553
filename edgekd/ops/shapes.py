"""Shapes as types, named once and checked on every call in tests."""

from jaxtyping import Float, Int
from torch import Tensor

Logits = Float[Tensor, "*batch classes"]
Labels = Int[Tensor, "*batch"]
ClassShares = Float[Tensor, "*batch classes"]
PerExample = Float[Tensor, "*batch"]
Features = Float[Tensor, "batch *feature"]
OtherFeatures = Float[Tensor, "batch *other_feature"]
Embedding = Float[Tensor, "batch width"]
OtherEmbedding = Float[Tensor, "batch other_width"]
Ids = Int[Tensor, " batch"]
Progress = Float[Tensor, ""]

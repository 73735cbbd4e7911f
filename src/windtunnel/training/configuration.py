"""How a model is trained: every setting of the loop, with its unit."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from windtunnel.training.schedules import Schedule


class TrainingConfig(BaseModel):
    """Settings of `train`; checked, and unknown ones refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(1_000, ge=1, description="optimizer steps")
    batch_size: int = Field(32, ge=1, description="rows per optimizer step, over all processes")
    accumulation: int = Field(1, ge=1, description="micro-batches that one step's rows are computed in")
    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate of AdamW")
    schedule: Schedule = Field("cosine", description="shape of the learning rate after warm-up")
    schedule_steps: int | None = Field(None, ge=1, description="steps the schedule is laid out for; None: all steps")
    warmup_steps: int = Field(100, ge=0, description="steps of linear warm-up")
    final_fraction: float = Field(0.1, ge=0, le=1, description="share of the peak learning rate left at the end")
    optimizer: Literal["adamw", "muon"] = Field("adamw", description="muon: hidden matrices by Muon, the rest AdamW")
    muon_learning_rate: float = Field(0.02, gt=0, description="peak learning rate of Muon's matrices")
    betas: tuple[float, float] = Field((0.9, 0.95), description="AdamW's averaging of gradients and squares")
    weight_decay: float = Field(0.1, ge=0, description="decoupled decay, applied to matrices only")
    clip: float | None = Field(1.0, gt=0, description="largest gradient norm; None: no clipping")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: what a measured probe finds faster")
    compile: bool = Field(False, description="torch.compile the model: pays on long runs only")
    snapshots: tuple[int, ...] = Field((), description="steps after which the weights are kept for good")
    evaluate_every: int | None = Field(None, ge=1, description="steps between evaluations; None: never")
    checkpoint_every: int = Field(500, ge=1, description="steps between the checkpoints a killed run resumes from")
    log_every: int = Field(10, ge=1, description="steps between logged metrics")
    seed: int = Field(0, ge=0, description="decides dropout")

    @model_validator(mode="after")
    def _fits(self) -> "TrainingConfig":
        if self.batch_size % self.accumulation:
            raise ValueError(f"batch_size {self.batch_size} does not divide into {self.accumulation} micro-batches")
        if any(not 0 <= step <= self.steps for step in self.snapshots):
            raise ValueError(f"snapshots must lie from 0 to {self.steps} steps")
        return self

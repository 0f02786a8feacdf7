"""Valid calls of every public function and constructor, from which the fuzz of test_fuzz departs.

A new public name is one entry in the file of its room, or stands in NOT_CALLED with the reason.
"""

from . import anneal, bayes, bounds, circuits, ebm, engine, generate, linalg  # noqa: F401, which fill the table
from .call import CALLS as CALLS

RETURNED = """
Tuned TuningReport Finding Report Densities EnsembleLedger Moments Estimate EntropyProduction
diagnostics.Ergodicity diagnostics.Streaming diagnostics.StreamingSummary FreeEnergy Ledger
Fit Frontier Pareto Progress BurnInReport
Chain Result Snapshots State Record bounds.WorkBound fluctuation.CrooksTheorem
fluctuation.DetailedTheorem fluctuation.IntegralTheorem linalg.Driven linalg.SlowModes
linalg.BoxAnswer linalg.NaturalGradientState linalg.Answer linalg.Ramps linalg.Runtime
linalg.Split bayes.Calibration bayes.Modes bayes.ExactPosterior bayes.Observed bayes.Particles
bayes.Posterior bayes.Account bayes.ScheduleCosts bayes.MinibatchPosterior
bayes.RampSnapshots anneal.Annealed anneal.AnnealedBack anneal.AnnealerFit anneal.AnnealerProgress
anneal.TwoSided ebm.EnergyFit ebm.EnergyProgress ebm.Exchanged ebm.SpinMoments
circuits.Flows circuits.Power circuits.Programmed
generate.ComputerFit generate.ComputerProgress generate.Generated generate.NoisedPaths
"""
ABSTRACT = (
    "AbstractCheckpoint AbstractGradient AbstractLikelihood AbstractObjective AbstractPotential "
    "AbstractProtocol circuits.AbstractCircuit "
    "anneal.AbstractBase anneal.AbstractGaussianBase anneal.AbstractDrive "
    "ebm.AbstractLatentModel ebm.AbstractMethod ebm.AbstractSpinModel"
)
NOT_CALLED = {
    "what a function returns": RETURNED.split(),
    "abstract": ABSTRACT.split(),
    "without arguments": ["ExactMoments", "ForwardMode", "MeanWork", "Pathwise", "ScoreFunction"],
    "an exception": ["CheckpointError"],
    # tests/test_saving.py, tests/experiment/test_cache.py
    "writes to any path that it is given": ["save", "enable_compilation_cache"],
}

"""From the policies as they are configured to the objects that vote."""

from collections.abc import Sequence

from stream.sampling.matcher import Matcher
from stream.sampling.policies.always_sample import AlwaysSample
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.evaluate import Policies
from stream.sampling.policies.latency import Latency
from stream.sampling.policies.policy import Policy
from stream.sampling.policies.probabilistic import Probabilistic
from stream.sampling.policies.status_code import StatusCode
from stream.settings import policies as configured


def policies_of(blocks: Sequence[configured.Policy], matcher: Matcher) -> Policies:
    """Return what judges a trace. Leaf conditions are registered with the matcher."""
    return Policies([_policy(block, matcher) for block in blocks])


def _policy(block: configured.Policy, matcher: Matcher) -> Policy:
    match block:
        case configured.AlwaysSamplePolicy():
            return AlwaysSample(block.name)
        case configured.StatusCodePolicy():
            return StatusCode(block.name, block.status_code.status_codes, matcher)
        case configured.LatencyPolicy():
            latency = block.latency
            return Latency(block.name, latency.threshold_ms, latency.upper_threshold_ms)
        case configured.ProbabilisticPolicy():
            share = block.probabilistic
            return Probabilistic(block.name, share.sampling_percentage, share.hash_salt)
        case configured.DropPolicy():
            subs = [_policy(sub, matcher) for sub in block.drop.drop_sub_policy]
            return Drop(block.name, subs)

"""Commits and rounds of promotions take turns."""

import asyncio

from stream.timers import alternating

COMMITS = 20


def test_a_round_begins_after_every_commit_though_commits_follow_without_a_pause() -> None:
    begun = asyncio.run(run_rounds(steps_of_a_round=0))
    assert begun == ["between"] * COMMITS


def test_one_round_at_a_time_and_commits_go_on_beside_it() -> None:
    begun = asyncio.run(run_rounds(steps_of_a_round=50))
    assert begun[0] == "between"
    assert 1 <= len(begun) < COMMITS


async def run_rounds(*, steps_of_a_round: int) -> list[str]:
    """Commit back to back; return for each round whether it began in a commit or between two."""
    begun: list[str] = []
    under_way: list[bool] = [False]
    commits = 0
    rounds = 0

    async def commit() -> None:
        nonlocal commits
        commits += 1
        under_way[0] = True
        for _ in range(10):
            await asyncio.sleep(0)
        under_way[0] = False

    async def promote() -> None:
        nonlocal rounds
        begun.append("within" if under_way[0] else "between")
        rounds += 1
        assert rounds == 1
        for _ in range(steps_of_a_round):
            await asyncio.sleep(0)
        rounds -= 1

    await alternating(
        commit,
        promote,
        # Shorter than any commit: there is no pause.
        interval_s=0.0,
        sleep=asyncio.sleep,
        begin=asyncio.ensure_future,
        is_over=lambda: commits == COMMITS,
    )()
    await asyncio.sleep(0)
    return begun

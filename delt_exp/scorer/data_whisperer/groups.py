"""Who is shown together, in which order, and what is asked after it.

N candidates, M queries to draw from, G groups, D places for members of a group, Q places for its queries.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.rows.draws import generator, shuffled_rows
from delt_exp.rows.ranking import rank_ids

Rows = NDArray[np.intp]
Ids = NDArray[np.uint64]
NOBODY = -1


@dataclass(frozen=True, eq=False)
class Groups:
    """members_GD: rows of the candidates in the order of the prompt; queries_GQ: rows of the query corpus.

    Both end with NOBODY where there are fewer. numbers_G2: pass and group, which name the draw of the queries.
    """

    members_GD: Rows
    queries_GQ: Rows
    numbers_G2: Rows

    def __len__(self) -> int:
        return len(self.members_GD)

    @property
    def num_members(self) -> Rows:
        """[G] how many candidates each group has."""
        return np.asarray((self.members_GD != NOBODY).sum(1))

    def of(self, rows: Rows) -> "Groups":
        """Return the groups with one of these candidates at least."""
        chosen = np.isin(self.members_GD, rows).any(1)
        return Groups(self.members_GD[chosen], self.queries_GQ[chosen], self.numbers_G2[chosen])


def regroupings(ids_N: Ids, num_members: int, passes: int, seed: int) -> list[Rows]:
    """Return for every pass the groups [G, D] of all candidates; each has every position once in D passes.

    A candidate keeps its slot, and a group has one candidate of each slot, drawn anew in each pass. In pass p the slots
    stand in an order rotated by p. Where D does not divide N, the last group is smaller and its members
    close ranks. The groups depend on ids, not on the order of the rows.
    """
    slots = shuffled_rows(ids_N, seed, "slots of demonstrations")
    found = []
    for number in range(passes):
        draws = generator(seed, "groups of demonstrations", number)
        members = np.full((-(-len(ids_N) // num_members), num_members), NOBODY, np.intp)
        for slot in range(num_members):
            rows = draws.permutation(slots[slot::num_members])
            members[: len(rows), (slot + number) % num_members] = rows
        order = np.argsort(members[-1] == NOBODY, kind="stable")
        members[-1] = members[-1, order]
        found.append(members)
    return found


def folds(ids_N: Ids, seed: int) -> tuple[Rows, Rows]:
    """Return two halves of the candidates, each of which is asked after the other's demonstrations."""
    rows = shuffled_rows(ids_N, seed, "folds of demonstrations")
    return rows[::2], rows[1::2]


def make_groups(
    ids_N: Ids, candidates: Rows, query_ids_M: Ids, queries: Rows, num_members: int, num_queries: int, passes: int,
    seed: int, fold: int = 0,
) -> Groups:  # fmt: skip
    """Return all passes over the rows `candidates`, asked about the rows `queries` of another corpus or fold.

    No query equals a member of its group; raises DataError where no other is left. Fewer than `num_queries` are asked
    where no more are left.
    """
    by_pass = regroupings(ids_N[candidates], num_members, passes, seed)
    ordered = queries[rank_ids(query_ids_M[queries])]  # so that the draw does not depend on the order of the rows
    members, asked, numbers = [], [], []
    for number, local_GD in enumerate(by_pass):
        for index, local_D in enumerate(local_GD):
            own_D = np.where(local_D == NOBODY, NOBODY, candidates[local_D])
            draws = generator(seed, "queries of a group", fold, number, index)
            own_ids = ids_N[own_D[own_D != NOBODY]]
            members.append(own_D)
            asked.append(_drawn(ordered, query_ids_M, own_ids, num_queries, draws))
            numbers.append((number, index))
    return Groups(np.array(members), np.array(asked), np.array(numbers))


def joined_groups(parts: list[Groups]) -> Groups:
    """Return the groups of several folds as one."""
    return Groups(
        *(
            np.concatenate(arrays)
            for arrays in zip(*((g.members_GD, g.queries_GQ, g.numbers_G2) for g in parts), strict=True)
        )
    )


def _drawn(ordered: Rows, query_ids_M: Ids, own_ids: Ids, count: int, draws: np.random.Generator) -> Rows:
    # A few more than are needed nearly always suffice: drawing among all others would cost N x M.
    few = ordered[draws.choice(len(ordered), min(count + len(own_ids), len(ordered)), replace=False)]
    left = few[~np.isin(query_ids_M[few], own_ids)]
    if len(left) < count:
        others = ordered[~np.isin(query_ids_M[ordered], own_ids)]
        left = draws.permutation(others)
    if not len(left):
        raise DataError(
            f"every query equals a demonstration of the group of ids {', '.join(f'{i:016x}' for i in own_ids)}; add "
            "documents to the target set, or use a smaller scorer.num_demonstrations"
        )
    return np.concatenate([left[:count], np.full(max(count - len(left), 0), NOBODY, np.intp)])

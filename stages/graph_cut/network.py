"""A small multi-way cut as a NetworkX graph with its terminals, to look at and to compare with (LIID, Sec. 5.1)."""

import networkx as nx

MOST = 500  # nodes in a picture that still tells something


def network(problem):
    """nx.Graph of a Problem: nodes 0 to N - 1 and terminals ("label", k), attribute `weight` on all edges.

    An edge to a terminal weighs p, one between nodes w. Source: LIID, Eq. 10.
    """
    graph, prob = nx.Graph(), problem.prob
    graph.add_nodes_from(range(len(prob)))
    graph.add_nodes_from(("label", k) for k in range(prob.labels))
    for u, k, p in zip(prob.node.tolist(), prob.column.tolist(), prob.value.tolist()):
        graph.add_edge(u, ("label", k), weight=p)
    for (u, v), w in zip(problem.edges.tolist(), problem.weight.tolist()):
        graph.add_edge(u, v, weight=w)
    return graph


def picture(problem, label, path):
    """Draw the nodes of a Problem coloured by `label`, (N,) columns, its edges, those that are cut dashed."""
    from matplotlib.figure import Figure

    graph = network(problem).subgraph(range(len(label)))
    figure = Figure(figsize=(8, 8))
    axes, place = figure.add_subplot(), nx.spring_layout(graph, weight="weight", seed=0)
    colours = dict(node_color=list(label), cmap="tab20", vmin=0, vmax=max(problem.prob.labels - 1, 1), node_size=60)
    nx.draw_networkx_nodes(graph, place, nodelist=range(len(label)), ax=axes, **colours)
    for cut, style in ((False, "solid"), (True, "dashed")):
        edges = [(u, v) for u, v in graph.edges if (label[u] != label[v]) == cut]
        nx.draw_networkx_edges(graph, place, edgelist=edges, style=style, alpha=0.5, ax=axes)
    axes.set_axis_off()
    figure.savefig(path, dpi=150)

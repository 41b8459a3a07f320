"""scikit-learn, scipy: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

scenario(
    "trees that were fitted in different steps have one type of nodes",
    """
%%step 1
import numpy as np
from sklearn.tree import DecisionTreeClassifier
X = np.random.default_rng(0).random((40, 3)); y = (X[:, 0] > .5).astype(int)
def nodes(model): return model.tree_.__getstate__()['nodes'].dtype
one = DecisionTreeClassifier(random_state=0).fit(X, y)
%%step 2
two = DecisionTreeClassifier(random_state=1).fit(X, y); kind = nodes(two)
%%step 3
same = nodes(one) is nodes(two) is kind, one.predict(X).tolist()
""",
)
scenario(
    "an estimator is refitted through a function",
    """
%%step 1
import numpy as np
from sklearn.linear_model import LinearRegression, SGDClassifier
X = np.arange(20.).reshape(10, 2); y = X.sum(axis=1)
model = LinearRegression()
def fit(m): return m.fit(X, y)
%%step 2
fit(model)
%%step 3
y = -y
fit(model); coefs = model.coef_
%%step 4
p = model.predict(X[:2]); coefs *= 2; q = model.predict(X[:2])
""",
)
scenario(
    "a bunch of data sets, and a class of the notebook, whose `__setstate__` does nothing",
    """
%%step 1
from sklearn.datasets import load_iris
iris = load_iris(); X = iris.data
class Kept:
    def __init__(self): self.parts = [1]
    def __setstate__(self, state): pass
kept = Kept()
%%step 2
X[0, 0] = 7; kept.parts.append(2); n = len(iris)
%%step 3
r = vars(iris), iris.data is X, iris.data[0, 0], kept.parts
""",
)
scenario(
    "partial_fit, pipelines, a shared random state, a forest",
    """
%%step 1
import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, FunctionTransformer
rs = np.random.RandomState(0); X = rs.rand(30, 3); y = (X[:, 0] > .5).astype(int)
def twice(a): return a * 2
sgd = SGDClassifier(random_state=rs)
%%step 2
sgd.partial_fit(X, y, classes=[0, 1]); pipe = make_pipeline(StandardScaler(), FunctionTransformer(twice), sgd)
%%step 3
sgd.partial_fit(X, y); forest = RandomForestClassifier(5, random_state=rs).fit(X, y)
%%step 4
pipe.fit(X, y); r = pipe.predict(X), forest.predict_proba(X), pipe.steps[-1][1] is sgd, sgd.random_state is rs
""",
)
scenario(
    "sparse matrices",
    """
%%step 1
import scipy.sparse as sp, numpy as np
m = sp.csr_matrix(np.eye(4)); data = m.data
%%step 2
data[0] = 5
%%step 3
m[1, 1] = 7; l = m.tolil()
%%step 4
l[0, 3] = 1; s = m.sum()
""",
)
scenario(
    "estimators share data, params and a random state",
    """
%%step 1
import numpy as np
from sklearn.linear_model import SGDRegressor, Ridge
from sklearn.base import clone
rs = np.random.RandomState(1); X = rs.rand(20, 2); y = X @ [1., 2.]
models = {'a': SGDRegressor(random_state=rs), 'b': Ridge()}
%%step 2
for m in models.values(): m.fit(X, y)
best = models['b']
%%step 3
models['a'].partial_fit(X, y); best.set_params(alpha=10.0).fit(X, y); c = clone(best)
%%step 4
coef = best.coef_; coef += 1; r = models['b'].predict(X[:2]), c.alpha, rs.rand()
""",
)
scenario(
    "sparse matrices over one array, splines, trees and frozen distributions",
    """
%%step 1
import scipy.sparse as sp, numpy as np
from scipy import stats, interpolate, spatial, optimize
m = sp.csr_array(np.eye(4)); d = m.data; m2 = sp.csr_matrix((d, m.indices, m.indptr), copy=False); coo = sp.coo_matrix(np.eye(3)); dok = sp.dok_matrix((3, 3))
rs = np.random.default_rng(0); fr = stats.norm(1, 2); fr.random_state = rs; x = np.linspace(0, 1, 8); cs = interpolate.CubicSpline(x, x ** 2); f = interpolate.interp1d(x, x); tree = spatial.cKDTree(np.arange(20.).reshape(10, 2))
%%step 2
d[0] = 9; dok[1, 2] = 5; draw = fr.rvs(3)
def target(z): calls.append(1); return (z[0] - shift) ** 2
calls = []; shift = 3.
%%step 3
m2[1, 1] = 4; res = optimize.minimize(target, [0.]); cs.c[0] *= 2; shift = 1.; tree2 = tree
%%step 4
r = m.toarray().tolist(), m2.toarray().tolist(), float(cs(.5)), float(f(.3)), tree.query([1., 2.]), rs.random(), fr.rvs(1).tolist(), round(float(res.x[0]), 4), dok.toarray().tolist(), fr.random_state is rs
""",
    differs="tree tree2",  # the witness does not look into compiled trees; `r` does
)
scenario(
    "a pipeline of notebook classes, warm starts and a metric, with one random state",
    """
%%step 1
import numpy as np, pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.pipeline import Pipeline, FeatureUnion
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import StandardScaler, FunctionTransformer, OneHotEncoder
from sklearn.linear_model import SGDClassifier, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.ensemble import RandomForestClassifier, GradientBoostingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.feature_extraction.text import CountVectorizer
class Scale(TransformerMixin, BaseEstimator):
    def get_feature_names_out(self, names=None): return np.asarray(names, dtype=object)
    def __init__(self, by=1.0): self.by = by
    def fit(self, X, y=None): self.seen_ = getattr(self, 'seen_', 0) + 1; return self
    def transform(self, X): return np.asarray(X) * self.by * boost
boost = 1.0; rs = np.random.RandomState(0); X = pd.DataFrame(rs.rand(40, 2), columns=['a', 'b']); X['c'] = list('xy') * 20; y = (X.a > .5).astype(int)
def dist(p, q): return float(np.abs(p - q).sum()) * boost
ct = ColumnTransformer([('n', Pipeline([('s', StandardScaler()), ('f', Scale(2.))]), ['a', 'b']), ('o', OneHotEncoder(), ['c'])])
pipe = Pipeline([('ct', ct), ('m', LogisticRegression())]); ct.set_output(transform='default'); rf = RandomForestClassifier(3, random_state=rs, warm_start=True); gb = GradientBoostingClassifier(n_estimators=3, random_state=rs, warm_start=True)
%%step 2
pipe.fit(X, y); inner = pipe.named_steps['m']; rf.fit(X[['a', 'b']], y); knn = KNeighborsClassifier(2, metric=dist).fit(X[['a', 'b']].values, y)
%%step 3
p1 = rf.predict(X[['a', 'b']]); boost = 3.0; rf.n_estimators = 5; rf.fit(X[['a', 'b']], y); gb.fit(X[['a', 'b']], y)
%%step 4
grid = GridSearchCV(pipe, {'m__C': [.1, 1.]}, cv=2).fit(X, y); c = clone(pipe); inner.coef_ *= 2; gb.n_estimators = 6; gb.fit(X[['a', 'b']], y)
%%step 5
r = pipe.predict_proba(X)[:2].tolist(), rf.predict_proba(X[['a', 'b']])[:2].tolist(), knn.predict(X[['a', 'b']].values)[:5].tolist(), grid.best_params_, grid.estimator is pipe, gb.predict_proba(X[['a', 'b']])[0].tolist(), ct.named_transformers_['n']['f'].seen_, rf.random_state is gb.random_state is rs, pipe.get_params()['m'] is inner, rs.rand()
""",
    differs="grid",  # it holds the times that fitting took
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)

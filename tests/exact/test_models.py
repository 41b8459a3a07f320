"""scikit-learn, scipy: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

scenarios = Scenarios()
scenario = scenarios.add

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


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)

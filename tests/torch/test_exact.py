"""torch on the processor: pipelines that a restore must not change, at any start point."""

from __future__ import annotations

import pytest

from tests.exact.harness import Scenarios, Server

pytest.importorskip("torch", reason="not run: torch is not installed")

scenarios = Scenarios()
scenario = scenarios.add

scenario(
    "tensors share storage as views, transposed, expanded, dtype views, detached",
    """
%%step 1
import torch
t = torch.arange(12.).reshape(3, 4); row = t[1]; tr = t.T; ex = t[:, :1].expand(3, 5); bits = t.view(torch.int32); det = t.detach()
%%step 2
row.mul_(10); box = {'deep': [t[::2, 1:3], torch.Size([2]), torch.float16, torch.device('cpu')]}
%%step 3
box['deep'][0].zero_(); bits[2, 3] = 0; flip = t.flip(0); inner = t.unfold(1, 2, 1)
%%step 4
tr[3, 0] = -1; det += 1; r = t.tolist(), row.tolist(), ex.tolist(), bits.tolist(), inner.tolist(), flip.tolist(), row._base is t
""",
)
scenario(
    "tensors over a bytearray and an `array.array`",
    """
%%step 1
import array, torch
b = bytearray(16); c = array.array('f', [1, 2, 3])
t = torch.frombuffer(b, dtype=torch.float32); u = torch.frombuffer(c, dtype=torch.float32)[1:]
%%step 2
b[3] = 64; c[1] = 64
%%step 3
b[7] = 64; c[2] = 5; r = t.tolist(), u.tolist()
%%step 4
t[2] = 1.5; u[0] = 2.5; r2 = bytes(b), c.tolist()
""",
)
scenario(
    "an array and tensors over one memory, both ways",
    """
%%step 1
import torch, numpy as np
a = np.arange(6.); t = torch.from_numpy(a); u = torch.zeros(4); n = u.numpy()
class H: pass
h = H(); h.view = a[::2]; twice = torch.from_numpy(a)
%%step 2
a[0] = 9; n[1] = 3; t2 = t[3:]
%%step 3
t2.fill_(7); u.add_(1); h.view[1] = -5; twice[1] = 11
%%step 4
r = a.tolist(), t.tolist(), u.tolist(), n.tolist(), h.view.tolist(), twice.tolist(); v = n[1:]
%%step 5
v[0] = 44; q = u.tolist()
""",
)
scenario(
    "training goes on step for step: SGD with momentum and Adam on one model, gradients kept",
    """
%%step 1
import torch
from torch import nn
torch.manual_seed(0)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(4, 8); self.drop = nn.Dropout(0.2); self.norm = nn.BatchNorm1d(8); self.two = nn.Linear(8, 1)
    def forward(self, x): return self.two(torch.relu(self.norm(self.drop(self.one(x)))))
net = Net(); X = torch.randn(32, 4); y = X.sum(1, keepdim=True); losses = []
opt = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
adam = torch.optim.Adam([{'params': net.one.parameters(), 'lr': 1e-2}, {'params': net.two.parameters()}], amsgrad=True)
def train(o, k=2):
    for _ in range(k):
        o.zero_grad(); loss = nn.functional.mse_loss(net(X), y); loss.backward(); o.step(); losses.append(loss.item())
%%step 2
train(opt)
%%step 3
train(adam); w = net.one.weight
%%step 4
train(opt); net.eval(); g = w.grad; p = net(X).detach()
%%step 5
net.train(); train(adam); g.zero_(); r = losses[-1], w.grad is g, opt.param_groups[0]['params'][0] is w, float(w.sum())
""",
)
scenario(
    "hooks of an optimizer are called although a scheduler watches it",
    """
%%step 1
import torch
p = torch.nn.Parameter(torch.ones(2)); opt = torch.optim.Adam([p]); called = []
opt.register_step_post_hook(lambda o, args, kwargs: called.append('post'))
schedule = torch.optim.lr_scheduler.StepLR(opt, 1)
%%step 2
p.grad = torch.ones(2); opt.step(); schedule.step()
%%step 3
opt.step(); r = list(called)
""",
)
scenario(
    "an unmarked cell steps a scheduler, and sets options of an optimizer",
    """
%%step 1
import torch
p = torch.nn.Parameter(torch.ones(2)); opt = torch.optim.Adam([p], lr=1.0); schedule = torch.optim.lr_scheduler.StepLR(opt, 1, 0.5)
def go(): opt.zero_grad(); p.sum().backward(); opt.step()
%%step 2
go()
%%
schedule.step(); opt.param_groups[0]['betas'] = (0.5, 0.5)
%%step 3
go(); r = list(vars(opt))
%%step 4
q = p.tolist(), schedule.get_last_lr()
""",
)
scenario(
    "learning rate schedulers watch their optimizer",
    """
%%step 1
import torch, warnings
warnings.simplefilter('error')
w = torch.nn.Parameter(torch.ones(3)); opt = torch.optim.AdamW([w], lr=0.1)
def decay(epoch): return rate ** epoch
rate = 0.5
sched = torch.optim.lr_scheduler.LambdaLR(opt, decay); warm = torch.optim.lr_scheduler.StepLR(opt, 2)
def go():
    opt.zero_grad(); (w ** 2).sum().backward(); opt.step(); sched.step(); warm.step()
%%step 2
go()
%%step 3
rate = 0.9; go(); lrs = sched.get_last_lr()
%%step 4
plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(opt, patience=0); go(); plateau.step(1.0)
%%step 5
go(); plateau.step(2.0); r = opt.param_groups[0]['lr'], sched.last_epoch, sched.optimizer is opt, w.tolist(), opt._opt_called
""",
)
scenario(
    "hooks of tensors and modules, removed later by their handles",
    """
%%step 1
import torch
from torch import nn
seen = []
def note(module, args, out): seen.append(('forward', float(out.sum()) * scale))
def grad_note(g): seen.append(('grad', float(g.sum()))); return g * 2
scale = 1
m = nn.Linear(2, 2); torch.manual_seed(1); nn.init.ones_(m.weight); handle = m.register_forward_hook(note)
%%step 2
th = m.weight.register_hook(grad_note); after = m.bias.register_post_accumulate_grad_hook(lambda p: seen.append('post'))
%%step 3
m(torch.ones(1, 2)).sum().backward(); scale = 10; pre = m.register_forward_pre_hook(lambda mod, args: seen.append('pre'))
%%step 4
handle.remove(); second = m.register_forward_hook(lambda *_: seen.append('second')); m(torch.ones(1, 2)).sum().backward()
%%step 5
th.remove(); third = m.register_forward_hook(note); m(torch.ones(1, 2)).sum().backward(); r = m.weight.grad.tolist(), len(m._forward_hooks)
""",
)
scenario(
    "hooks without a handle keep their numbers",
    """
%%step 1
import torch
from torch import nn
seen = []
m = nn.Sequential(nn.Linear(1, 1)); m[0].register_forward_hook(lambda *_: seen.append(1)); keep = torch.ones(1, requires_grad=True)
keep.register_hook(lambda g: seen.append('g'))
%%step 2
m[0].register_forward_hook(lambda *_: seen.append(2)); keep.register_hook(lambda g: seen.append('h'))
%%step 3
m(torch.ones(1, 1)); (keep * 2).sum().backward(); r = len(m[0]._forward_hooks), list(seen)
""",
)
scenario(
    "tied weights, buffers, ModuleList, Sequential, state_dict aliases, parameters replaced",
    """
%%step 1
import torch
from torch import nn
torch.manual_seed(3)
class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(5, 3); self.out = nn.Linear(3, 5, bias=False); self.out.weight = self.emb.weight
        self.register_buffer('count', torch.zeros(1)); self.register_buffer('temp', torch.ones(2), persistent=False)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(3, 3), nn.ReLU()) for _ in range(2)]); self.params = nn.ParameterDict({'a': nn.Parameter(torch.ones(1))})
    def forward(self, i):
        self.count += 1; x = self.emb(i)
        for b in self.blocks: x = b(x)
        return self.out(x)
net = Tied(); state = net.state_dict(); first = net.blocks[0]
%%step 2
with torch.no_grad(): net.emb.weight[0] = 7
out = net(torch.tensor([0, 1])).detach()
%%step 3
state['blocks.0.0.bias'].fill_(2); first.append(nn.Linear(3, 3)); flat = nn.utils.parameters_to_vector(net.parameters()).detach()
%%step 4
net.blocks[1][0].weight = nn.Parameter(torch.eye(3)); net.requires_grad_(False); net.emb.weight.requires_grad_(True)
%%step 5
r = net.out.weight is net.emb.weight, state['emb.weight'][0, 0].item(), net(torch.tensor([2])).tolist(), int(net.count), first is net.blocks[0]
""",
)
scenario(
    "generators, data loaders and samplers share their chance",
    """
%%step 1
import torch
from torch.utils.data import DataLoader, TensorDataset, Dataset, RandomSampler, random_split
g = torch.Generator().manual_seed(4)
class Squares(Dataset):
    def __init__(self, n): self.n, self.asked = n, []
    def __len__(self): return self.n
    def __getitem__(self, i): self.asked.append(i); return torch.tensor(float(i * i))
data = Squares(6); loader = DataLoader(data, batch_size=2, shuffle=True, generator=g); td = TensorDataset(torch.arange(8.), torch.arange(8))
%%step 2
batches = [b.tolist() for b in loader]; a, b = random_split(td, [5, 3], generator=g); torch.manual_seed(9)
%%step 3
sampler = RandomSampler(td, generator=g); order = list(sampler); x = torch.rand(2); dg = torch.default_generator
%%step 4
more = [b.tolist() for b in loader]; y = torch.randn(3, generator=g); z = torch.rand(2, generator=dg); q = [v.item() for v, _ in a]
%%step 5
r = list(data.asked), torch.rand(1).item(), g is loader.generator is sampler.generator, torch.rand(1, generator=g).item()
""",
)
scenario(
    "dtypes and layouts: half, bfloat16, complex, bool, int8, float8, sparse, quantized, meta, empty, scalars",
    """
%%step 1
import torch
kinds = {str(d): torch.arange(4).to(d) for d in (torch.float16, torch.bfloat16, torch.complex64, torch.bool, torch.int8, torch.float8_e4m3fn, torch.uint16)}
conj = kinds['torch.complex64'].conj(); coo = torch.eye(3).to_sparse(); meta = torch.empty(2, 3, device='meta'); none = torch.empty(0, 3)
%%step 2
kinds['torch.bfloat16'][1] = 5; csr = torch.eye(3).to_sparse_csr(); one = torch.tensor(3.5); kinds['torch.complex64'][0] = 1j
%%step 3
coo = coo.coalesce(); vals = coo.values(); vals.mul_(3); none.resize_(2, 3).fill_(1); qt = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
%%step 4
one.add_(1); r = coo.to_dense().tolist(), csr.to_dense().tolist(), conj.tolist(), one.item(), qt.dequantize().tolist(), conj.is_conj(), meta.shape
""",
)
scenario(
    "leaves that want gradients, gradients shared with names, inference and no_grad",
    """
%%step 1
import torch
x = torch.ones(3, requires_grad=True); x.tag = ['note']; w = torch.nn.Parameter(torch.zeros(2)); w.grad = torch.ones(2); gw = w.grad
with torch.inference_mode(): inf = torch.arange(3.); inf2 = inf[1:]
%%step 2
(x * 2).sum().backward(); gx = x.grad; tags = x.tag
%%step 3
gx.mul_(5); tags.append('more'); frozen = x.detach(); y = frozen.clone().requires_grad_()
%%step 4
(y * x.detach()).sum().backward(); frozen[0] = 100; ok = inf.is_inference(), inf2.is_inference()
%%step 5
with torch.no_grad(): x.sub_(x.grad)
try: inf.add_(1); said = ''
except RuntimeError as e: said = str(e)
r = x.tolist(), x.grad is gx, y.grad.tolist(), w.grad is gw, x.tag
""",
)
scenario(
    "a loss with its graph is named; steps that read it run the training again",
    """
%%step 1
import torch
w = torch.ones(2, requires_grad=True); opt = torch.optim.SGD([w], lr=0.1)
%%step 2
loss = (w ** 2).sum(); loss.backward(); opt.step()
%%step 3
v = w.detach().clone()
%%step 4
value = loss.item(); r = v.tolist(), w.tolist()
""",
    runs={2: "could not be saved", 3: "`loss`", 4: "`loss`"},
)
scenario(
    "a loss that training leaves behind is named, and missed by nobody",
    """
%%step 1
import torch
w = torch.ones(3, requires_grad=True); opt = torch.optim.SGD([w], lr=0.5)
%%step 2
loss = (w ** 2).sum(); loss.backward()
%%step 3
v = w.detach().clone(); opt.step(); g = w.grad
%%step 4
r = v.tolist(), w.tolist(), g.tolist(), w.grad is g, opt.param_groups[0]['params'][0] is w
""",
    lost="loss",
)
scenario(
    "a loss is needed where it is read, however many steps between only change what it is tied to",
    """
%%step 1
import torch
w = torch.ones(3, requires_grad=True); opt = torch.optim.SGD([w], lr=0.5)
%%step 2
loss = (w ** 2).sum(); loss.backward()
%%step 3
opt.step(); v = w.detach().clone()
%%step 4
opt.step(); v += 1
%%step 5
r = str(loss), v.tolist()
""",
    lost="loss",
    runs={2: "`loss` could not be saved, and step", 3: "`loss`", 4: "`loss`"},
    starts=(2, 3, 4, 5),
)
scenario(
    "a loss is tied to the leaves of its graph and to what lies in its memory, so these steps run too",
    """
%%step 1
import torch
w = torch.ones(2, requires_grad=True); kept = []
%%step 2
loss = (w ** 2).sum(); kept.append(loss.detach())
%%step 3
w.data.mul_(1); kept.append('more')
%%step 4
loss.backward(); loss.data.add_(1); r = w.grad.tolist(), kept[0].item()
""",
    runs={2: "`loss` could not be saved", 3: "`loss`", 4: "`loss`"},
)
scenario(
    "large storages, written out of the stream, with a view, an optimizer and an array",
    """
%%step 1
import torch, numpy as np
torch.manual_seed(0)
m = torch.nn.Linear(300, 300); big = torch.zeros(100_000); part = big[50_000:]; a = np.zeros(50_000, dtype='f4'); t = torch.from_numpy(a)
opt = torch.optim.Adam(m.parameters()); X = torch.rand(16, 300)
def fit(): opt.zero_grad(); l = m(X).pow(2).mean(); l.backward(); opt.step(); return l.item()
%%step 2
one = fit(); part[0] = 5; a[3] = 2
%%step 3
two = fit(); big[99_999] = 1; t[4] = 6
%%step 4
three = fit(); r = part[0].item(), part[-1].item(), a[:5].tolist(), t[:5].tolist()
""",
)

TRAINING = """
%%step 1
import torch
from torch import nn
torch.manual_seed(0); model = nn.Linear(3, 1); opt = torch.optim.SGD(model.parameters(), lr=.1); X = torch.randn(8, 3); y = X.sum(1, keepdim=True)
for epoch in range(3):
    loss = nn.functional.mse_loss(model(X), y); opt.zero_grad(); loss.backward(); opt.step()
"""
scenario(
    "the loss that a training loop leaves is asked for its number alone, in all ways to ask",
    TRAINING
    + """
%%step 2
r = loss.item(), float(loss), bool(loss), f"{loss}", f"{loss:.3f} {loss.data:>9.4}", loss.detach().cpu().tolist(); print(f'{loss.item()=}')
%%step 3
history = [loss.item()]
for epoch in range(2):
    loss = nn.functional.mse_loss(model(X), y); opt.zero_grad(); loss.backward(); opt.step(); history.append(loss.item())
print(f"{epoch} {loss:.3f}")
%%step 4
best = min(history), loss.item() < history[0]
""",
    lost="loss",
)
scenario(
    "unmarked cells between the steps ask the loss for its number",
    TRAINING
    + """
%%
print(f"{loss:.3f}", loss.item())
%%step 2
r = loss.item()
%%
shown = float(loss)
%%step 3
q = r + loss.item()
""",
    lost="loss",
)
scenario(
    "an unmarked cell that does more to the loss than to ask for its number",
    TRAINING
    + """
%%
loss.data.mul_(2); print(loss.item())
%%step 2
r = loss.item()
""",
    runs={1: "an unmarked cell reads it"},
    starts=(2,),
    lost="loss",
)
scenario(
    "the loss that a training loop leaves has another name, then another one trains",
    TRAINING
    + """
%%step 2
for epoch in range(2):
    loss = nn.functional.mse_loss(model(X), y)
    if epoch: loss.backward(); opt.step(); kept = loss
%%step 3
r = kept.item()
""",
    lost="loss kept",
)
scenario(
    "what a model gives is bound anew by cells that train and evaluate it, so none of them needs the one before",
    """
%%step 1
import torch
from torch import nn
torch.manual_seed(0); model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(.1), nn.Linear(8, 2)); opt = torch.optim.Adam(model.parameters(), 1e-2)
X = torch.randn(40, 3); y = (X.sum(1) > 0).long(); crit = nn.CrossEntropyLoss(); history = []
%%step 2
for epoch in range(2):
    for xb, yb in zip(X.split(20), y.split(20)):
        opt.zero_grad(); out = model(xb); loss = crit(out, yb); loss.backward(); opt.step()
    history.append(loss.item()); print(f"{epoch}: {loss:.4f}")
%%step 3
model.eval()
with torch.no_grad():
    out = model(X); acc = (out.argmax(1) == y).float().mean().item()
%%step 4
model.train()
for xb, yb in zip(X.split(20), y.split(20)):
    opt.zero_grad(); out = model(xb); loss = crit(out, yb); loss.backward(); opt.step()
%%step 5
best = min(history), acc, loss.item()
""",
    lost="loss out",
)
for use, reads in (
    ("loss.data.mul_(2)", "step 3 reads it"),
    ("held = [loss]; v = held[0].item()", "step 3 reads it"),
    ("v = repr(loss)", "step 3 reads it"),
    ("def tell(): return loss + 1\nv = tell().item()", "step 3 reads it"),
):
    scenario(
        f"the loss that a training loop leaves is asked for more than its number: {use}",
        f"{TRAINING}%%step 2\na = loss.item()\n%%step 3\n{use}\n%%step 4\nb = loss.item()",
        runs={1: reads, 2: "`loss` of step 1"},
        starts=(3,),
        lost="loss held",
    )
scenario(
    "what shares memory with the loss that a training loop leaves may change its number",
    TRAINING
    + """
other = loss.detach(); keep = [other]
%%step 2
keep[0].mul_(2)
%%step 3
r = loss.item()
""",
    runs={1: "`", 2: "`"},
    starts=(3,),
    lost="loss",
    differs="other (memory)",  # where the last step is restored, too
)

scenario(
    "what a function of the notebook keeps for the way back is changed by a later step",
    """
%%step 1
import torch
scale = [2.0]; torch.manual_seed(0)
class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, by): ctx.by = {"by": by}; return x * by[0]
    @staticmethod
    def backward(ctx, grad): return grad * ctx.by["by"][0], None
x = torch.ones(3, requires_grad=True); y = Scaled.apply(x, scale).sum()
%%step 2
scale[0] = 7.0
%%step 3
y.backward(); r = x.grad.tolist()
""",
    runs={1: "`y` could not be saved", 2: "`y` of step 1"},
    starts=(2, 3),
    lost="y",
)
scenario(
    "a tensor that is kept for the way back is changed by way of an array over it",
    """
%%step 1
import torch
torch.manual_seed(0)
w = torch.ones(3, requires_grad=True); x = torch.ones(3); a = x.numpy(); y = (w * x).sum()
%%step 2
a[0] = 7
%%step 3
y.backward(); r = w.grad.tolist()
""",
    runs={1: "`y` could not be saved", 2: "`y` of step 1"},
    starts=(2, 3),
    lost="y",
)


@pytest.mark.parametrize("name", scenarios.parameters())
def test_restoring_is_exact(server: Server, name: str) -> None:
    scenarios.check(server, name)

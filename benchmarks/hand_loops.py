"""Gradients of the two recurrences by hand: a tape of what the way back needs, row by row."""

import numpy as np
from hand import kernel
from vector import exp, inline, tanh

LANES = 16  # a row of units, filled up with zeros to whole vector registers
GIVEN, FORGET, TAKE, SHOW, NEW, SEEN, MEMORY, HIDDEN = range(8)  # rows of the tape, of one cell


@inline
def sigmoid(x):
    return 1.0 / (1.0 + exp(-x))


@kernel
def forward(w, b, before, now):
    """One cell's step, from its last state and its input."""
    for j in range(LANES):
        x, h = now[GIVEN, j], before[HIDDEN, j]
        f, i = sigmoid(x * w[0, j] + b[0, j]), sigmoid(h * w[1, j] + b[1, j])
        o, n = sigmoid(x * w[2, j] + b[2, j]), tanh(h * w[3, j] + b[3, j])
        c = before[MEMORY, j] * f + i * n
        seen = tanh(c)
        now[FORGET, j], now[TAKE, j], now[SHOW, j], now[NEW, j] = f, i, o, n
        now[SEEN, j], now[MEMORY, j], now[HIDDEN, j] = seen, c, o * seen


@kernel
def backward(w, before, now, dh, dc, dx, gw, gb):
    """The cell's step backwards: dh and dc go to the step before, dx to the cell below."""
    for j in range(LANES):
        x, h = now[GIVEN, j], before[HIDDEN, j]
        f, i, o, n = now[FORGET, j], now[TAKE, j], now[SHOW, j], now[NEW, j]
        seen, d = now[SEEN, j], dh[j]
        c = dc[j] + d * o * (1.0 - seen * seen)
        zf, zi = c * before[MEMORY, j] * f * (1.0 - f), c * n * i * (1.0 - i)
        zo, zn = d * seen * o * (1.0 - o), c * i * (1.0 - n * n)
        gw[0, j] += zf * x
        gw[1, j] += zi * h
        gw[2, j] += zo * x
        gw[3, j] += zn * h
        gb[0, j] += zf
        gb[1, j] += zi
        gb[2, j] += zo
        gb[3, j] += zn
        dc[j] = c * f
        dh[j] = zi * w[1, j] + zn * w[3, j]
        dx[j] = zf * w[0, j] + zo * w[2, j]


@kernel
def odds(shown, extra, following, slopes, t, units):
    """The log likelihood of the next character; a row of slopes becomes its derivative."""
    slope = slopes[t]
    mass, linear, count = 2.0, 0.0, 0.0
    for j in range(LANES):
        y = shown[j] * extra[1, j] + extra[2, j]
        e = exp(y) if j < units else 0.0
        mass += e
        linear += y * following[j]
        count += following[j]
        slope[j] = e
    share = count / mass
    for j in range(LANES):
        slope[j] = following[j] - share * slope[j]
    return linear - count * np.log(mass)


@kernel
def lstm_whole(main, extra, start, text, units, m, e, tape, slope, gm, ge, dh, dc, dx):
    cells, steps = tape.shape[1], text.shape[0]
    for k in range(2 * cells):
        for q in range(4):
            for j in range(units):
                m[k, q, j] = main[k, q, j]
    for k in range(3):
        for j in range(units):
            e[k, j] = extra[k, j]
    for k in range(cells):
        for j in range(units):
            tape[0, k, HIDDEN, j] = start[2 * k, j]
            tape[0, k, MEMORY, j] = start[2 * k + 1, j]
    total = 0.0
    for t in range(1, steps):
        for j in range(LANES):
            tape[t, 0, GIVEN, j] = text[t - 1, j] * e[0, j]
        for k in range(cells):
            forward(m[2 * k], m[2 * k + 1], tape[t - 1, k], tape[t, k])
            if k + 1 < cells:
                for j in range(LANES):
                    tape[t, k + 1, GIVEN, j] = tape[t, k, HIDDEN, j]
        total += odds(tape[t, cells - 1, HIDDEN], e, text[t], slope, t, units)
    scale = -1.0 / ((steps - 1) * units)
    gm[:] = 0.0
    ge[:] = 0.0
    dh[:] = 0.0
    dc[:] = 0.0
    for t in range(steps - 1, 0, -1):
        for j in range(LANES):
            s = scale * slope[t, j]
            ge[1, j] += s * tape[t, cells - 1, HIDDEN, j]
            ge[2, j] += s
            dx[j] = s * e[1, j]
        for k in range(cells - 1, -1, -1):
            for j in range(LANES):
                dh[k, j] += dx[j]
            before, now = tape[t - 1, k], tape[t, k]
            backward(m[2 * k], before, now, dh[k], dc[k], dx, gm[2 * k], gm[2 * k + 1])
        for j in range(LANES):
            ge[0, j] += dx[j] * text[t - 1, j]
    return total * scale


def lstm(main, extra, start, text, steps):
    rows, units = len(main), text.shape[1]
    padded = np.zeros((steps, LANES))
    padded[:, :units] = text
    shapes = (
        (rows, 4, LANES), (3, LANES), (steps, rows // 2, 8, LANES), (steps, LANES),
        (rows, 4, LANES), (3, LANES), (rows // 2, LANES), (rows // 2, LANES), LANES,
    )  # fmt: skip
    space = [np.zeros(shape) for shape in shapes]
    gm, ge = space[4:6]
    split = main.reshape(rows, 4, units)

    def run():
        value = lstm_whole(split, extra, start, padded, units, *space)
        return value, gm[:, :, :units].reshape(main.shape), ge[:, :units].copy()

    return run


@inline
def pulled(x, y, gx, gy, a, b, c, d):
    """The slopes by prey and hunters, from those by their rates."""
    return gx * (a - b * y) + gy * c * y, gy * (c * x - d) - gx * b * x


@kernel
def rk4_whole(u, p, h, steps, tape, gu, gp):
    """The tape has the four points of each step."""
    a, b, c, d = p[0], p[1], p[2], p[3]
    x, y = u[0], u[1]
    half, third, sixth = h / 2.0, h / 3.0, h / 6.0
    for k in range(steps):
        p1, q1 = x * (a - b * y), y * (c * x - d)
        x2, y2 = x + half * p1, y + half * q1
        p2, q2 = x2 * (a - b * y2), y2 * (c * x2 - d)
        x3, y3 = x + half * p2, y + half * q2
        p3, q3 = x3 * (a - b * y3), y3 * (c * x3 - d)
        x4, y4 = x + h * p3, y + h * q3
        p4, q4 = x4 * (a - b * y4), y4 * (c * x4 - d)
        row = tape[k]
        row[0], row[1], row[2], row[3] = x, y, x2, y2
        row[4], row[5], row[6], row[7] = x3, y3, x4, y4
        x += sixth * (p1 + p4) + third * (p2 + p3)
        y += sixth * (q1 + q4) + third * (q2 + q3)
    value = x * x + x * y
    gx, gy = 2.0 * x + y, x
    ga = gb = gc = gd = 0.0
    for back in range(steps):
        row = tape[steps - 1 - back]
        x, y, x2, y2 = row[0], row[1], row[2], row[3]
        x3, y3, x4, y4 = row[4], row[5], row[6], row[7]
        s4, t4 = sixth * gx, sixth * gy  # slopes by the four rates
        u4, v4 = pulled(x4, y4, s4, t4, a, b, c, d)
        s3, t3 = third * gx + h * u4, third * gy + h * v4
        u3, v3 = pulled(x3, y3, s3, t3, a, b, c, d)
        s2, t2 = third * gx + half * u3, third * gy + half * v3
        u2, v2 = pulled(x2, y2, s2, t2, a, b, c, d)
        s1, t1 = s4 + half * u2, t4 + half * v2
        u1, v1 = pulled(x, y, s1, t1, a, b, c, d)
        ga += (s4 * x4 + s3 * x3) + (s2 * x2 + s1 * x)
        gd -= (t4 * y4 + t3 * y3) + (t2 * y2 + t1 * y)
        z4, z3, z2, z1 = x4 * y4, x3 * y3, x2 * y2, x * y
        gb -= (s4 * z4 + s3 * z3) + (s2 * z2 + s1 * z1)
        gc += (t4 * z4 + t3 * z3) + (t2 * z2 + t1 * z1)
        gx += (u1 + u2) + (u3 + u4)
        gy += (v1 + v2) + (v3 + v4)
    gu[0], gu[1] = gx, gy
    gp[0], gp[1], gp[2], gp[3] = ga, gb, gc, gd
    return value


def rk4(u, p, h, steps):
    tape, gu, gp = np.empty((steps, 8)), np.empty(2), np.empty(4)
    return lambda: (rk4_whole(u, p, h, steps, tape, gu, gp), gu, gp)

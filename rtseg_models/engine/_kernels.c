/* SPDX-FileCopyrightText: 2026 The rtseg_ros authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * Upsampling with argmax, confidence and painting, in C. kernels_numpy.py holds the same functions in NumPy, with results
 * equal bit for bit. Compile with -ffp-contract=off: a fused multiply-add would round differently.
 *
 * An interpolated logit is, in float32 and in this order,
 *     a = (1 - fy) * top + fy * bottom      for the left and for the right column
 *     v = (1 - fx) * a_left + fx * a_right
 *
 * Rounding guard. Let u = 2^-24 and M bound the magnitudes at the four corners. 1 - f, each product and the sum round once,
 * so |computed a - exact a| <= 3 u M and |computed v - exact v| <= 6 u M to first order, below 7 u M in all. Where class c
 * leads class k by more than 14 u M at all four corners, it leads by that much between them in exact arithmetic, and so
 * computed v_c > computed v_k. GUARD = 16 u leaves room for the rounding of the margin itself; FLT_MIN is added for
 * products that underflow. A cell may be filled only where its four corners share their argmax and all four margins
 * exceed GUARD * M + FLT_MIN; in other cells a class is left out only where its largest corner lies that far below the
 * smallest corner of another class.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

/* Vector code for AVX2 beside the baseline, chosen when the module is loaded. AVX2 by itself has no fused multiply-add. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define VECTORISED __attribute__((target_clones("default", "avx2")))
#else
#define VECTORISED
#endif

#define GUARD 9.5367431640625e-07f /* 2^-20 = 16 u */
#define LARGEST 1e38f              /* logits beyond it could overflow while being interpolated */
#define MAX_CLASSES 255
#define CELL_COST 17

typedef struct {
    const float *logits;          /* (classes, h, w) */
    int classes, h, w;
    const int32_t *row_low;       /* (height): grid row above each output row */
    const float *row_fraction;    /* (height) */
    const int32_t *column_low;    /* (width): grid column left of each output column */
    const float *column_fraction; /* (width) */
    int height, width;
} Grid;

/* What a band of rows needs while it runs; one allocation. */
typedef struct {
    int32_t *best[2];      /* (w): argmax at the grid points of the upper and lower row */
    float *margin[2];      /* (w): best minus second best */
    float *peak[2];        /* (w): largest magnitude */
    float *first, *second; /* (w): best and second-best logit; later two interpolated rows */
    int32_t *border;       /* (w): whether the cell to the right and below needs interpolation */
    float *value, *total;  /* (width): interpolated logits, sums of exponentials */
    int32_t *id;           /* (width): leading class */
    float *column_rest;    /* (width): 1 - column_fraction */
    int32_t *column_next;  /* (width): grid column right of each output column */
    int32_t *run;          /* (width + 1): output columns at which a new cell begins */
    float *planes;         /* (classes, width): interpolated logits of one row; only for confidence */
    int runs;
    int aligned;           /* whether every output column lies on a grid column */
    void *memory;
} Scratch;

static int min_int(int a, int b) { return a < b ? a : b; }
static float min2(float a, float b) { return a < b ? a : b; }
static float max2(float a, float b) { return a > b ? a : b; }
static float min4(float a, float b, float c, float d) { return min2(min2(a, b), min2(c, d)); }
static float max4(float a, float b, float c, float d) { return max2(max2(a, b), max2(c, d)); }

static void *carve(char **at, size_t count) {
    void *start = *at;
    *at += ((count * 4 + 63) / 64) * 64;
    return start;
}

static int prepare(Scratch *s, const Grid *g, int with_planes) {
    size_t w = (size_t)g->w, width = (size_t)g->width, planes = with_planes ? width * (size_t)g->classes : 0;
    char *at = s->memory = malloc((w * 9 + width * 7 + planes) * 4 + 64 * 20);
    if (!at) return 0;
    at += 64 - (uintptr_t)at % 64;
    for (int i = 0; i < 2; i++) {
        s->best[i] = carve(&at, w);
        s->margin[i] = carve(&at, w);
        s->peak[i] = carve(&at, w);
    }
    s->first = carve(&at, w);
    s->second = carve(&at, w);
    s->border = carve(&at, w);
    s->value = carve(&at, width);
    s->id = carve(&at, width);
    s->total = carve(&at, width);
    s->column_rest = carve(&at, width);
    s->column_next = carve(&at, width);
    s->run = carve(&at, width + 1);
    s->planes = carve(&at, planes);
    s->runs = 0;
    s->aligned = 1;
    for (int x = 0; x < g->width; x++) {
        s->column_rest[x] = 1.0f - g->column_fraction[x];
        s->column_next[x] = min_int(g->column_low[x] + 1, g->w - 1);
        s->aligned &= g->column_fraction[x] == 0.0f;
        if (x == 0 || g->column_low[x] != g->column_low[x - 1]) s->run[s->runs++] = x;
    }
    s->run[s->runs] = g->width;
    return 1;
}

/* Argmax, margin and peak of grid row i; returns whether every logit is finite (and below LARGEST). */
VECTORISED static int scan_row(const Grid *g, int i, Scratch *s, int side) {
    const int w = g->w;
    int32_t *restrict best = s->best[side];
    float *restrict margin = s->margin[side], *restrict peak = s->peak[side];
    float *restrict first = s->first, *restrict second = s->second;
    const float *restrict p = g->logits + (size_t)i * w;
    int bad = 0;
    for (int x = 0; x < w; x++) {
        best[x] = 0;
        first[x] = p[x];
        second[x] = -INFINITY;
        peak[x] = fabsf(p[x]);
        bad |= !(fabsf(p[x]) < LARGEST);
    }
    for (int k = 1; k < g->classes; k++) {
        p += (size_t)g->h * w;
        for (int x = 0; x < w; x++) {
            const float v = p[x], size = fabsf(v), leader = first[x], runner = second[x];
            const int leads = v > leader;
            const float beaten = leads ? leader : v;
            second[x] = beaten > runner ? beaten : runner;
            first[x] = leads ? v : leader;
            best[x] = leads ? k : best[x];
            peak[x] = size > peak[x] ? size : peak[x];
            bad |= !(size < LARGEST);
        }
    }
    for (int x = 0; x < w; x++) margin[x] = first[x] - second[x];
    return !bad;
}

/* Which cells between the two scanned rows need interpolation; returns how many. */
VECTORISED static int find_borders(const Grid *g, Scratch *s, int upper, int lower) {
    const int w = g->w;
    const int32_t *restrict a = s->best[upper], *restrict b = s->best[lower];
    const float *restrict ma = s->margin[upper], *restrict mb = s->margin[lower];
    const float *restrict pa = s->peak[upper], *restrict pb = s->peak[lower];
    float *restrict margin = s->first, *restrict peak = s->second;
    int32_t *restrict border = s->border;
    int count = 0;
    for (int j = 0; j < w; j++) {
        margin[j] = ma[j] < mb[j] ? ma[j] : mb[j];
        peak[j] = pa[j] > pb[j] ? pa[j] : pb[j];
    }
    for (int j = 0; j < w - 1; j++) {
        const float least = margin[j] < margin[j + 1] ? margin[j] : margin[j + 1];
        const float most = peak[j] > peak[j + 1] ? peak[j] : peak[j + 1];
        border[j] = (a[j] != b[j]) | (a[j] != a[j + 1]) | (a[j] != b[j + 1]) | !(least > GUARD * most + FLT_MIN);
        count += border[j];
    }
    border[w - 1] = (a[w - 1] != b[w - 1]) | !(margin[w - 1] > GUARD * peak[w - 1] + FLT_MIN);
    return count + border[w - 1];
}

typedef struct {
    int id;
    float left_top, right_top, left_bottom, right_bottom;
} Candidate;

/* The classes that can lead somewhere in cell (i, j), ids ascending. */
static int find_candidates(const Grid *g, int i, int j, float peak, Candidate *out) {
    const size_t plane = (size_t)g->h * g->w;
    const int right = j + 1 < g->w, below = i + 1 < g->h;
    const float *p = g->logits + (size_t)i * g->w + j;
    float most[MAX_CLASSES], floor = -INFINITY;
    for (int k = 0; k < g->classes; k++, p += plane) {
        const float a = p[0], b = p[right], c = p[below * g->w], d = p[below * g->w + right];
        const float least = min4(a, b, c, d);
        most[k] = max4(a, b, c, d);
        if (least > floor) floor = least;
    }
    const float guard = GUARD * peak + FLT_MIN;
    int found = 0;
    p = g->logits + (size_t)i * g->w + j;
    for (int k = 0; k < g->classes; k++, p += plane) {
        if (most[k] + guard < floor) continue;
        out[found++] = (Candidate){k, p[0], p[right], p[below * g->w], p[below * g->w + right]};
    }
    return found;
}

/* Labels of output pixels [x0, x1) of one row inside one cell. */
VECTORISED static void evaluate_run(
    const Candidate *candidates, int count, float fy, const float *restrict rest, const float *restrict fraction, int n,
    float *restrict value, int32_t *restrict id, uint8_t *restrict labels
) {
    const float gy = 1.0f - fy;
    for (int c = 0; c < count; c++) {
        const Candidate k = candidates[c];
        const float left = gy * k.left_top + fy * k.left_bottom;
        const float right = gy * k.right_top + fy * k.right_bottom;
        if (c == 0) {
            for (int x = 0; x < n; x++) value[x] = rest[x] * left + fraction[x] * right;
            for (int x = 0; x < n; x++) id[x] = k.id;
            continue;
        }
        for (int x = 0; x < n; x++) {
            const float v = rest[x] * left + fraction[x] * right;
            id[x] = v > value[x] ? k.id : id[x];
            value[x] = v > value[x] ? v : value[x];
        }
    }
    for (int x = 0; x < n; x++) labels[x] = (uint8_t)id[x];
}

/* One class of a whole output row, interpolated, into `out`. */
VECTORISED static void interpolate_row(const Grid *g, Scratch *s, int k, int y, float *restrict out) {
    const float *restrict top = g->logits + ((size_t)k * g->h + g->row_low[y]) * g->w;
    const float *restrict bottom = top + (g->row_low[y] + 1 < g->h ? g->w : 0);
    const float *restrict rest = s->column_rest, *restrict fraction = g->column_fraction;
    const int32_t *restrict low = g->column_low, *restrict next = s->column_next;
    const float fy = g->row_fraction[y], gy = 1.0f - fy;
    float *restrict row = s->first;
    for (int j = 0; j < g->w; j++) row[j] = gy * top[j] + fy * bottom[j];
    for (int x = 0; x < g->width; x++) out[x] = rest[x] * row[low[x]] + fraction[x] * row[next[x]];
}

/* Labels of a whole output row, every class at every pixel. */
VECTORISED static void evaluate_row(const Grid *g, Scratch *s, int y, uint8_t *restrict labels) {
    const int width = g->width;
    float *restrict value = s->value, *restrict leader = s->total;
    int32_t *restrict id = s->id;
    interpolate_row(g, s, 0, y, leader);
    for (int x = 0; x < width; x++) id[x] = 0;
    for (int k = 1; k < g->classes; k++) {
        interpolate_row(g, s, k, y, value);
        for (int x = 0; x < width; x++) {
            const int leads = value[x] > leader[x];
            id[x] = leads ? k : id[x];
            leader[x] = leads ? value[x] : leader[x];
        }
    }
    for (int x = 0; x < width; x++) labels[x] = (uint8_t)id[x];
}

/* The argmax of the grid point to the upper left of each pixel of a row. */
static void copy_best(const Grid *g, const int32_t *best, uint8_t *labels) {
    for (int x = 0; x < g->width; x++) labels[x] = (uint8_t)best[g->column_low[x]];
}

/* Whether to evaluate every class at every pixel of a row of cells. Measured: interpolating one border cell takes, beside
 * its pixels, the time of about CELL_COST pixels, and about a quarter of the classes can win there. So with q pixels to a
 * cell dense evaluation is cheaper where the share of border cells exceeds q / (CELL_COST + q / 4). */
static int dense_is_cheaper(const Grid *g, const Scratch *s, int borders, int rows) {
    const int64_t pixels = (int64_t)rows * g->width;
    return borders * (4 * CELL_COST * s->runs + pixels) > 4 * pixels * g->w;
}

/* Labels of the output rows [first, last), all in the cells of grid row row_low[first]. */
static void label_cell_row(const Grid *g, Scratch *s, int upper, int lower, int first, int last, uint8_t *labels) {
    const int i = g->row_low[first];
    const size_t width = (size_t)g->width;
    const int borders = find_borders(g, s, upper, lower);
    if (dense_is_cheaper(g, s, borders, last - first)) {
        for (int y = first; y < last; y++) evaluate_row(g, s, y, labels + y * width);
        return;
    }
    uint8_t *row = labels + first * width;
    copy_best(g, s->best[upper], row);
    for (int y = first + 1; y < last; y++) memcpy(labels + y * width, row, width);
    if (!borders) return;
    for (int n = 0; n < s->runs; n++) {
        const int x0 = s->run[n], count = s->run[n + 1] - x0, j = g->column_low[x0], next = min_int(j + 1, g->w - 1);
        if (!s->border[j]) continue;
        Candidate candidates[MAX_CLASSES];
        const float peak = max4(s->peak[upper][j], s->peak[upper][next], s->peak[lower][j], s->peak[lower][next]);
        const int found = find_candidates(g, i, j, peak, candidates);
        for (int y = first; y < last; y++)
            evaluate_run(candidates, found, g->row_fraction[y], s->column_rest + x0, g->column_fraction + x0, count,
                         s->value, s->id, labels + y * width + x0);
    }
}

/* Labels of the output rows [first, last); returns whether every logit that was read is finite. */
static int label_rows(const Grid *g, Scratch *s, int first, int last, uint8_t *labels) {
    int held[2] = {-1, -1}, finite = 1;
    for (int y = first; y < last;) {
        const int i = g->row_low[y], below = min_int(i + 1, g->h - 1);
        int end = y + 1, upper = held[1] == i, lower;
        while (end < last && g->row_low[end] == i) end++;
        if (held[upper] != i) finite &= scan_row(g, i, s, upper), held[upper] = i;
        if (s->aligned && end == y + 1 && g->row_fraction[y] == 0.0f) {
            copy_best(g, s->best[upper], labels + (size_t)y * g->width);
            y = end;
            continue;
        }
        lower = below == i ? upper : !upper;
        if (held[lower] != below) finite &= scan_row(g, below, s, lower), held[lower] = below;
        label_cell_row(g, s, upper, lower, y, end, labels);
        y = end;
    }
    return finite;
}

#define LOWEST_EXPONENT -87.0f /* e^x below it leaves the normal numbers of float32 */

/* e^x for LOWEST_EXPONENT <= x <= 0 in float32, x = n ln 2 + r: a polynomial in r, n added to the exponent. Relative
 * error below 3e-7. */
static inline float exponential(float x) {
    const int32_t n = (int32_t)(x * 1.44269504f - 0.5f);
    const float m = (float)n;
    const float r = (x - m * 0.693359375f) - m * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    const int32_t bits = (n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

/* The largest softmax share of each pixel of one output row, into s->total. */
VECTORISED static void share_row(const Grid *g, Scratch *s, int y) {
    const int width = g->width;
    float *restrict highest = s->value, *restrict total = s->total;
    for (int x = 0; x < width; x++) highest[x] = -INFINITY, total[x] = 0.0f;
    for (int k = 0; k < g->classes; k++) {
        float *restrict plane = s->planes + (size_t)k * width;
        interpolate_row(g, s, k, y, plane);
        for (int x = 0; x < width; x++) highest[x] = plane[x] > highest[x] ? plane[x] : highest[x];
    }
    for (int k = 0; k < g->classes; k++) {
        float *restrict plane = s->planes + (size_t)k * width;
        for (int x = 0; x < width; x++) plane[x] = max2(plane[x] - highest[x], LOWEST_EXPONENT);
        for (int x = 0; x < width; x++) total[x] += exponential(plane[x]);
    }
    for (int x = 0; x < width; x++) total[x] = 1.0f / total[x];
}

/* Arguments that the functions over a grid share: the buffers, and whether they fit together. */
typedef struct {
    Py_buffer logits, row_low, row_fraction, column_low, column_fraction;
} GridBuffers;

static void release(GridBuffers *b) {
    PyBuffer_Release(&b->logits);
    PyBuffer_Release(&b->row_low);
    PyBuffer_Release(&b->row_fraction);
    PyBuffer_Release(&b->column_low);
    PyBuffer_Release(&b->column_fraction);
}

static int inside(const int32_t *low, int count, int cells) {
    for (int i = 0; i < count; i++)
        if (low[i] < 0 || low[i] >= cells) return 0;
    return 1;
}

static int assemble(Grid *g, const GridBuffers *b, int first, int last) {
    g->logits = b->logits.buf;
    g->row_low = b->row_low.buf;
    g->row_fraction = b->row_fraction.buf;
    g->column_low = b->column_low.buf;
    g->column_fraction = b->column_fraction.buf;
    g->height = (int)(b->row_low.len / 4);
    g->width = (int)(b->column_low.len / 4);
    if (g->classes < 1 || g->classes > MAX_CLASSES || g->h < 1 || g->w < 1 ||
        b->logits.len != (Py_ssize_t)4 * g->classes * g->h * g->w || b->row_fraction.len != b->row_low.len ||
        b->column_fraction.len != b->column_low.len || first < 0 || first > last || last > g->height || g->width < 1 ||
        !inside(g->row_low, g->height, g->h) || !inside(g->column_low, g->width, g->w)) {
        PyErr_SetString(PyExc_ValueError, "logits, grid and rows do not fit together");
        return 0;
    }
    return 1;
}

static PyObject *upsample_argmax(PyObject *module, PyObject *args) {
    GridBuffers b;
    Grid g;
    Scratch s;
    Py_buffer labels;
    int first, last, finite = 0, ready = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*iiiy*y*y*y*iiw*", &b.logits, &g.classes, &g.h, &g.w, &b.row_low, &b.row_fraction,
                          &b.column_low, &b.column_fraction, &first, &last, &labels))
        return NULL;
    int valid = assemble(&g, &b, first, last);
    if (valid && labels.len != (Py_ssize_t)g.height * g.width) {
        PyErr_SetString(PyExc_ValueError, "labels do not have the size of the grid");
        valid = 0;
    }
    if (valid) {
        Py_BEGIN_ALLOW_THREADS
        if ((ready = prepare(&s, &g, 0))) {
            finite = label_rows(&g, &s, first, last, labels.buf);
            free(s.memory);
        }
        Py_END_ALLOW_THREADS
        if (!ready) PyErr_NoMemory();
    }
    release(&b);
    PyBuffer_Release(&labels);
    return ready ? PyBool_FromLong(finite) : NULL;
}

static PyObject *upsample_confidence(PyObject *module, PyObject *args) {
    GridBuffers b;
    Grid g;
    Scratch s;
    Py_buffer labels, confidence;
    float threshold;
    int first, last, ready = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*iiiy*y*y*y*iifw*w*", &b.logits, &g.classes, &g.h, &g.w, &b.row_low, &b.row_fraction,
                          &b.column_low, &b.column_fraction, &first, &last, &threshold, &labels, &confidence))
        return NULL;
    int valid = assemble(&g, &b, first, last);
    if (valid && (labels.len != (Py_ssize_t)g.height * g.width || confidence.len != labels.len)) {
        PyErr_SetString(PyExc_ValueError, "labels or confidence do not have the size of the grid");
        valid = 0;
    }
    if (valid) {
        Py_BEGIN_ALLOW_THREADS
        if ((ready = prepare(&s, &g, 1))) {
            for (int y = first; y < last; y++) {
                uint8_t *label = (uint8_t *)labels.buf + (size_t)y * g.width;
                uint8_t *sure = (uint8_t *)confidence.buf + (size_t)y * g.width;
                share_row(&g, &s, y);
                for (int x = 0; x < g.width; x++) {
                    if (s.total[x] < threshold) label[x] = 255;
                    sure[x] = (uint8_t)(255.0f * s.total[x] + 0.5f);
                }
            }
            free(s.memory);
        }
        Py_END_ALLOW_THREADS
        if (!ready) PyErr_NoMemory();
    }
    release(&b);
    PyBuffer_Release(&labels);
    PyBuffer_Release(&confidence);
    if (!ready) return NULL;
    Py_RETURN_NONE;
}

static PyObject *colourise(PyObject *module, PyObject *args) {
    Py_buffer labels, table, out;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*w*", &labels, &table, &out)) return NULL;
    const int valid = table.len == 256 * 3 && out.len == labels.len * 3;
    if (valid) {
        const uint8_t *label = labels.buf, *colours = table.buf;
        uint8_t *p = out.buf;
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < labels.len; i++, p += 3) {
            const uint8_t *colour = colours + 3 * label[i];
            p[0] = colour[0], p[1] = colour[1], p[2] = colour[2];
        }
        Py_END_ALLOW_THREADS
    } else {
        PyErr_SetString(PyExc_ValueError, "labels (n), table (256, 3) and out (n, 3) do not fit together");
    }
    PyBuffer_Release(&labels);
    PyBuffer_Release(&table);
    PyBuffer_Release(&out);
    if (!valid) return NULL;
    Py_RETURN_NONE;
}

VECTORISED static void mix(
    const uint8_t *restrict rgb, const uint8_t *restrict colour, int alpha, int n, uint8_t *restrict out
) {
    const uint16_t a = (uint16_t)alpha, b = (uint16_t)(256 - alpha);
    for (int i = 0; i < n; i++) out[i] = (uint8_t)((uint16_t)(rgb[i] * b + colour[i] * a + 128) >> 8);
}

#define CHUNK 512 /* pixels whose colours lie in the first-level cache while they are mixed */

static void blend_pixels(
    const uint8_t *rgb, const uint8_t *label, const uint8_t *table, int alpha, Py_ssize_t n, uint8_t *out
) {
    uint8_t colour[CHUNK * 3];
    for (Py_ssize_t start = 0; start < n; start += CHUNK) {
        const int count = n - start < CHUNK ? (int)(n - start) : CHUNK;
        const uint8_t *p = rgb + 3 * start;
        for (int i = 0; i < count; i++) {
            const uint8_t *from = label[start + i] == 255 ? p + 3 * i : table + 3 * label[start + i];
            colour[3 * i] = from[0], colour[3 * i + 1] = from[1], colour[3 * i + 2] = from[2];
        }
        mix(p, colour, alpha, 3 * count, out + 3 * start);
    }
}

static PyObject *blend(PyObject *module, PyObject *args) {
    Py_buffer rgb, labels, table, out;
    int alpha;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*y*iw*", &rgb, &labels, &table, &alpha, &out)) return NULL;
    const int sizes = table.len == 256 * 3 && rgb.len == labels.len * 3 && out.len == rgb.len;
    const int valid = sizes && alpha >= 0 && alpha <= 256;
    if (valid) {
        Py_BEGIN_ALLOW_THREADS
        blend_pixels(rgb.buf, labels.buf, table.buf, alpha, labels.len, out.buf);
        Py_END_ALLOW_THREADS
    } else {
        PyErr_SetString(PyExc_ValueError, "rgb (n, 3), labels (n), table (256, 3), alpha (0 to 256) and out do not fit");
    }
    PyBuffer_Release(&rgb);
    PyBuffer_Release(&labels);
    PyBuffer_Release(&table);
    PyBuffer_Release(&out);
    if (!valid) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"upsample_argmax", upsample_argmax, METH_VARARGS, "Labels of a band; see kernels_numpy."},
    {"upsample_confidence", upsample_confidence, METH_VARARGS, "Confidence of a band; see kernels_numpy."},
    {"colourise", colourise, METH_VARARGS, "Labels to colours; see kernels_numpy."},
    {"blend", blend, METH_VARARGS, "Overlay; see kernels_numpy."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernels", "Pixel loops of the engine.", 0, methods, 0, 0, 0, 0,
};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModule_Create(&definition); }

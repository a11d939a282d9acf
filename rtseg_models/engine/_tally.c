/* SPDX-FileCopyrightText: 2026 The rtseg_ros authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * Counting over label images, in C; kernels_numpy.py holds the same functions in NumPy, with equal results.
 *
 * Label images are mostly areas of one class: eight pixels are compared at a time, and runs of equal ones counted at
 * once.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

/* Vector code for AVX2 beside the baseline, chosen when the module is loaded. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define VECTORISED __attribute__((target_clones("default", "avx2")))
#else
#define VECTORISED
#endif

#define WORD 8
#define EACH_BYTE 0x0101010101010101u
#define NOTHING 255 /* the id that never counts */

static inline uint64_t load(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, WORD);
    return word;
}

/* Adds runs of pixels that have one label and one truth; without a truth that is NOTHING. */
static void count_pairs(const uint8_t *labels, const uint8_t *truth, Py_ssize_t n, int64_t *joint) {
    uint8_t label = 0, id = NOTHING;
    Py_ssize_t start = 0;
    for (Py_ssize_t i = 0; i < n;) {
        Py_ssize_t end = i + WORD;
        if (end <= n && load(labels + i) == label * EACH_BYTE && (!truth || load(truth + i) == id * EACH_BYTE)) {
            i = end;
            continue;
        }
        for (end = end <= n ? end : n; i < end; i++) {
            const uint8_t here = truth ? truth[i] : NOTHING;
            if (labels[i] == label && here == id) continue;
            joint[id << 8 | label] += i - start;
            label = labels[i], id = here, start = i;
        }
    }
    joint[id << 8 | label] += n - start;
}

VECTORISED static int64_t count_changed(const uint8_t *restrict a, const uint8_t *restrict b, Py_ssize_t n) {
    int64_t changed = 0;
    for (Py_ssize_t i = 0; i < n; i++) changed += a[i] != b[i];
    return changed;
}

/* Pixels whose truth counts and stays, and how many of them differ between `a` and `b`. */
VECTORISED static void count_steady(
    const uint8_t *restrict a, const uint8_t *restrict b, const uint8_t *restrict truth,
    const uint8_t *restrict truth_before, Py_ssize_t n, uint8_t ignored, int64_t *steady, int64_t *restless
) {
    int64_t stay = 0, differ = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        const int stays = (truth[i] == truth_before[i]) & (truth[i] != ignored) & (truth[i] != NOTHING);
        stay += stays;
        differ += stays & (a[i] != b[i]);
    }
    *steady = stay, *restless = differ;
}

static PyObject *tally_labels(PyObject *module, PyObject *args) {
    Py_buffer labels, before, truth, truth_before, joint;
    int64_t changed = 0, steady = 0, restless = 0;
    unsigned char ignored;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*z*z*z*bw*", &labels, &before, &truth, &truth_before, &ignored, &joint)) return NULL;
    const Py_ssize_t n = labels.len;
    const int valid = joint.len == 256 * 256 * (Py_ssize_t)sizeof(int64_t) && (!before.buf || before.len == n) &&
                      (!truth.buf || truth.len == n) && (!truth_before.buf || truth_before.len == n);
    if (valid) {
        Py_BEGIN_ALLOW_THREADS
        count_pairs(labels.buf, truth.buf, n, joint.buf);
        if (before.buf) changed = count_changed(labels.buf, before.buf, n);
        if (before.buf && truth.buf && truth_before.buf)
            count_steady(labels.buf, before.buf, truth.buf, truth_before.buf, n, ignored, &steady, &restless);
        Py_END_ALLOW_THREADS
    } else {
        PyErr_SetString(PyExc_ValueError, "label images (n) and joint (256, 256) int64 do not fit together");
    }
    PyBuffer_Release(&labels);
    PyBuffer_Release(&before);
    PyBuffer_Release(&truth);
    PyBuffer_Release(&truth_before);
    PyBuffer_Release(&joint);
    if (!valid) return NULL;
    return Py_BuildValue("LLL", (long long)changed, (long long)steady, (long long)restless);
}

static void relabel(
    const uint8_t *restrict labels, const uint8_t *restrict table, Py_ssize_t n, uint8_t *restrict out,
    int64_t *restrict counts
) {
    for (Py_ssize_t i = 0; i < n;) {
        const uint8_t label = labels[i];
        if (i + WORD <= n && load(labels + i) == label * EACH_BYTE) {
            memset(out + i, table[label], WORD);
            counts[label] += WORD;
            i += WORD;
        } else {
            out[i++] = table[label];
            counts[label]++;
        }
    }
}

static PyObject *relabel_and_count(PyObject *module, PyObject *args) {
    Py_buffer labels, table, out, counts;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*w*w*", &labels, &table, &out, &counts)) return NULL;
    const int valid = table.len == 256 && out.len == labels.len && counts.len == 256 * (Py_ssize_t)sizeof(int64_t);
    if (valid) {
        Py_BEGIN_ALLOW_THREADS
        relabel(labels.buf, table.buf, labels.len, out.buf, counts.buf);
        Py_END_ALLOW_THREADS
    } else {
        PyErr_SetString(PyExc_ValueError, "labels (n), table (256), out (n) and counts (256) do not fit together");
    }
    PyBuffer_Release(&labels);
    PyBuffer_Release(&table);
    PyBuffer_Release(&out);
    PyBuffer_Release(&counts);
    if (!valid) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"tally_labels", tally_labels, METH_VARARGS, "Joint counts and changes of a mask; see kernels_numpy."},
    {"relabel_and_count", relabel_and_count, METH_VARARGS, "Labels by a table; see kernels_numpy."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_tally", "Counting over label images.", 0, methods, 0, 0, 0, 0,
};

PyMODINIT_FUNC PyInit__tally(void) { return PyModule_Create(&definition); }

/* SPDX-FileCopyrightText: 2026 The rtseg_ros authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * Counting over label images, in C. kernels_numpy.py holds the same functions in NumPy, with equal results.
 *
 * Label images are mostly areas of one class. They are read eight pixels at a time; where all eight are equal in every
 * image, they are counted in one step.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#define WORD 8
#define NOTHING 255 /* the id that never counts */

static uint64_t load(const uint8_t *image, Py_ssize_t i) {
    uint64_t word;
    if (!image) return ~(uint64_t)0;
    memcpy(&word, image + i, WORD);
    return word;
}

static int uniform(uint64_t word) { return word == ((word << 8) | (word >> 56)); }

static uint8_t id_at(const uint8_t *image, Py_ssize_t i) { return image ? image[i] : NOTHING; }

typedef struct {
    int64_t *joint; /* (256, 256) */
    int ignored;
    int64_t changed, steady, restless;
} Tally;

static inline void count(Tally *t, uint8_t label, uint8_t before, uint8_t truth, uint8_t truth_before, int pixels) {
    const int changed = label != before;
    const int steady = truth == truth_before && truth != t->ignored && truth != NOTHING;
    t->joint[truth << 8 | label] += pixels;
    t->changed += changed ? pixels : 0;
    t->steady += steady ? pixels : 0;
    t->restless += changed && steady ? pixels : 0;
}

static void tally(
    Tally *t, const uint8_t *labels, const uint8_t *before, const uint8_t *truth, const uint8_t *truth_before, Py_ssize_t n
) {
    Py_ssize_t i = 0;
    for (; i + WORD <= n; i += WORD) {
        const uint64_t a = load(labels, i), b = load(before, i), c = load(truth, i), d = load(truth_before, i);
        if (uniform(a) && uniform(b) && uniform(c) && uniform(d)) {
            count(t, (uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d, WORD);
            continue;
        }
        for (Py_ssize_t k = i; k < i + WORD; k++)
            count(t, labels[k], id_at(before, k), id_at(truth, k), id_at(truth_before, k), 1);
    }
    for (; i < n; i++) count(t, labels[i], id_at(before, i), id_at(truth, i), id_at(truth_before, i), 1);
}

static PyObject *tally_labels(PyObject *module, PyObject *args) {
    Py_buffer labels, before, truth, truth_before, joint;
    Tally t = {0};
    (void)module;
    if (!PyArg_ParseTuple(args, "y*z*z*z*iw*", &labels, &before, &truth, &truth_before, &t.ignored, &joint)) return NULL;
    const Py_ssize_t n = labels.len;
    const int valid = joint.len == 256 * 256 * (Py_ssize_t)sizeof *t.joint && (!before.buf || before.len == n) &&
                      (!truth.buf || truth.len == n) && (!truth_before.buf || truth_before.len == n);
    if (valid) {
        t.joint = joint.buf;
        Py_BEGIN_ALLOW_THREADS
        tally(&t, labels.buf, before.buf, truth.buf, truth_before.buf, n);
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
    return Py_BuildValue("LLL", (long long)t.changed, (long long)t.steady, (long long)t.restless);
}

static void relabel(const uint8_t *labels, const uint8_t *table, Py_ssize_t n, uint8_t *out, int64_t *counts) {
    Py_ssize_t i = 0;
    for (; i + WORD <= n; i += WORD) {
        const uint64_t word = load(labels, i);
        if (uniform(word)) {
            memset(out + i, table[(uint8_t)word], WORD);
            counts[(uint8_t)word] += WORD;
            continue;
        }
        for (Py_ssize_t k = i; k < i + WORD; k++) out[k] = table[labels[k]], counts[labels[k]]++;
    }
    for (; i < n; i++) out[i] = table[labels[i]], counts[labels[i]]++;
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
        PyErr_SetString(PyExc_ValueError, "labels (n), table (256), out (n) and counts (256) int64 do not fit together");
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

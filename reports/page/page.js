// The charts of the comparison page. Reads the JSON in #data; draws with Dygraph; sets data-ready on the body
// when all is drawn, with what was drawn in data-pauses, for whoever checks the page.
(function () {
  'use strict';
  // Okabe and Ito's palette, each colour with a dash of its own, as in the plots.
  const COLOURS = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000'];
  const DASHES = [null, [7, 3], [7, 2, 2, 2], [2, 2], [10, 2], [4, 1, 1, 1], null];
  const data = JSON.parse(document.getElementById('data').textContent);
  const runs = data.runs;
  const charts = [];      // {graph, series: index of run by series}
  const timed = [];       // those whose x axis is time
  const colour = (i) => COLOURS[i % COLOURS.length];
  const seconds = (ns) => ns / 1e9;

  function duration(ns) {
    if (ns >= 1e9) return (ns / 1e9).toPrecision(3) + ' s';
    if (ns >= 1e6) return (ns / 1e6).toPrecision(3) + ' ms';
    if (ns >= 1e3) return (ns / 1e3).toPrecision(3) + ' us';
    return ns + ' ns';
  }
  const mebibytes = (bytes) => (bytes / 1048576).toFixed(1) + ' MiB';

  // Rows of [x, series...] from one list of [x, y] a series. Equal x share a row.
  function merge(lists) {
    const points = [];
    lists.forEach((list, s) => list.forEach((p) => points.push([p[0], s, p[1]])));
    points.sort((a, b) => a[0] - b[0]);
    const rows = [];
    for (const [x, s, y] of points) {
      let row = rows[rows.length - 1];
      // A second value at the same x (a sawtooth's drop) needs a row of its own.
      if (!row || row[0] !== x || row[s + 1] !== null) {
        row = new Array(lists.length + 1).fill(null);
        row[0] = x;
        rows.push(row);
      }
      row[s + 1] = y;
    }
    return rows;
  }

  function draw(id, lists, labels, runOf, options) {
    const element = document.getElementById(id);
    const rows = merge(lists);
    if (rows.length === 0) {
      element.textContent = 'nothing measured';
      element.style.height = 'auto';
      return null;
    }
    const series = {};
    labels.forEach((label, i) => {
      series[label] = Object.assign({ color: colour(runOf[i]), strokePattern: DASHES[runOf[i] % DASHES.length] },
        (options.seriesOptions || {})[label] || {});
    });
    const settings = Object.assign({
      labels: ['x'].concat(labels), series: series, connectSeparatedPoints: true, legend: 'onmouseover',
      labelsSeparateLines: true, gridLineColor: '#ddd', axisLineColor: '#888', highlightCircleSize: 4, strokeWidth: 1.4
    }, options);
    delete settings.seriesOptions;
    const graph = new Dygraph(element, rows, settings);
    charts.push({ graph: graph, runOf: runOf });
    return graph;
  }

  let moving = false;
  function together(graph) {
    if (!graph) return;
    timed.push(graph);
    graph.updateOptions({
      zoomCallback: function () {
        if (moving) return;
        moving = true;
        const range = graph.isZoomed('x') ? graph.xAxisRange() : null;
        for (const other of timed) if (other !== graph) other.updateOptions({ dateWindow: range });
        moving = false;
      }
    });
  }

  const names = runs.map((run, i) => (i + 1) + ' ' + run.label);
  const all = runs.map((run, i) => i);

  // Pauses: points only, and what lies under the pointer in words.
  const byTime = runs.map((run) => {
    const index = new Map();
    run.pauses.begin.forEach((t, i) => index.set(seconds(t), i));
    return index;
  });
  function describe(run, i) {
    const p = run.pauses;
    const kind = data.kinds[p.kind[i]];
    let text = run.label + ': ' + kind + ' of ' + duration(p.duration[i]) + ' at ' + seconds(p.begin[i]).toFixed(6) + ' s';
    if (p.reach[i] >= 0) text += ', ' + duration(p.reach[i]) + ' of it to stop';
    if (p.thread[i] > 0) text += ', thread ' + p.thread[i];
    const c = run.cycleOf[p.cycle[i]];
    if (c !== undefined) {
      const cycle = run.cycles[c];
      text += ' — collection ' + cycle.number + ' (' + cycle.kind + ', ' + cycle.trigger + '), ' + duration(cycle.end - cycle.begin) + ' long';
      if (cycle.heap !== undefined) text += ', heap ' + mebibytes(cycle.heap);
      if (cycle.live !== undefined) text += ', live ' + mebibytes(cycle.live);
      if (cycle.goal !== undefined) text += ', goal ' + mebibytes(cycle.goal);
    }
    return text;
  }
  for (const run of runs) {
    run.cycleOf = {};
    run.cycles.forEach((c, i) => { run.cycleOf[c.number] = i; });
  }
  const pausePoints = runs.map((run) => run.pauses.begin.map((t, i) => [seconds(t), Math.max(run.pauses.duration[i], 1) / 1e6]));
  together(draw('pauses', pausePoints, names, all, {
    drawPoints: true, pointSize: 1.8, strokeWidth: 0, connectSeparatedPoints: false, logscale: true, legend: 'never',
    ylabel: 'pause (ms)', xlabel: 'time (s)',
    highlightCallback: function (event, x, points) {
      const p = points[points.length - 1];
      const run = names.indexOf(p.name);
      const i = byTime[run].get(x);
      if (i !== undefined) document.getElementById('hovered').textContent = describe(runs[run], i);
    },
    unhighlightCallback: function () { document.getElementById('hovered').textContent = '\u00a0'; }
  }));

  // Heap and its goal, resident memory.
  const heapLists = [], heapNames = [], heapRuns = [], heapOptions = {};
  runs.forEach((run, r) => {
    for (const [key, word, style] of [['heap', 'heap', {}], ['goal', 'goal', { strokeWidth: 0.8, strokePattern: [2, 2] }],
      ['rss', 'resident', { strokeWidth: 2.2 }]]) {
      const list = [];
      run.samples.at.forEach((t, i) => { if (run.samples[key][i] !== null) list.push([seconds(t), run.samples[key][i] / 1048576]); });
      if (list.length === 0) continue;
      heapLists.push(list);
      heapNames.push(names[r] + ': ' + word);
      heapRuns.push(r);
      heapOptions[names[r] + ': ' + word] = style;
    }
  });
  together(draw('heap', heapLists, heapNames, heapRuns, { seriesOptions: heapOptions, ylabel: 'MiB', xlabel: 'time (s)' }));

  // LastGC: rises with time, falls to nothing when a collection ends.
  together(draw('lastgc', runs.map((run) => {
    const list = [];
    let last = null;
    for (const c of run.cycles) {
      if (last !== null) list.push([seconds(c.end), seconds(c.end - last)]);
      list.push([seconds(c.end), 0]);
      last = c.end;
    }
    return list;
  }), names, all, { ylabel: 's since LastGC', xlabel: 'time (s)' }));

  // Pauses by percentile, on 1 / (1 - p).
  draw('percentiles', runs.map((run) => {
    const sorted = run.pauses.duration.slice().sort((a, b) => a - b);
    const n = sorted.length;
    const step = Math.max(1, Math.floor(n / 2000));
    const list = [];
    for (let i = 0; i < n; i += i + 2000 > n ? 1 : step) list.push([n / (n - i), Math.max(1, sorted[i]) / 1e6]);
    return list;
  }), names, all, {
    logscale: true, ylabel: 'pause (ms)', xlabel: 'percentile', axes: {
      x: {
        logscale: true, axisLabelFormatter: (x) => (x < 1 ? '' : String(Number((100 * (1 - 1 / x)).toPrecision(6)))),
        valueFormatter: (x) => 'p' + (100 * (1 - 1 / x)).toFixed(3)
      }
    }
  });
  draw('mmu', runs.map((run) => run.mmu.map((m) => [m[0] / 1e6, m[1]])), names, all, {
    ylabel: 'utilisation', xlabel: 'window (ms)', valueRange: [0, 1.02], axes: { x: { logscale: true, axisLabelFormatter: (x) => String(Number(x.toPrecision(3))) } }
  });

  // Switches.
  const switches = document.getElementById('runs');
  runs.forEach((run, r) => {
    const label = document.createElement('label');
    const box = document.createElement('input');
    box.type = 'checkbox';
    box.checked = true;
    box.addEventListener('change', () => {
      for (const chart of charts) chart.runOf.forEach((of, s) => { if (of === r) chart.graph.setVisibility(s, box.checked); });
    });
    const swatch = document.createElement('span');
    swatch.className = 'swatch';
    swatch.style.borderTopColor = colour(r);
    swatch.style.borderTopStyle = DASHES[r % DASHES.length] ? 'dashed' : 'solid';
    label.append(box, swatch, names[r]);
    switches.append(label);
  });
  document.body.dataset.pauses = String(pausePoints.reduce((sum, list) => sum + list.length, 0));
  document.body.dataset.charts = String(charts.length);
  document.body.dataset.ready = '1';
})();

//! What people get for each way to break the keys beyond the first ones. The snapshots are the product: read them as its user.

use super::tests_broken::{broken, problems};

broken!(
    conditions,
    "
dag: d
params: { full: true }
tasks:
  a: { uses: process, outputs: { rows: integer } }
  b: { uses: process, needs: a, if: 'params.ful and tasks.a.outputs.row > 3' }
  c: { uses: process, if: 'tasks.a.outputs.rows > 3' }
  d: { uses: process, if: 'params.full and' }
  e: { uses: process, if: all_succes }
  f: { uses: process, if: all_done, trigger_rule: all_done }
  g: { uses: process, if: 'item > 3' }
  h: { uses: process, if: [a] }
  i: { uses: process, needs: a, if: \"tasks['a'].outputs.rwos > 3\" }
"
);

broken!(
    for_each_forms,
    "
dag: d
tasks:
  a: { uses: process }
  b: { uses: process, for_each: tasks.a.outputs }
  c: { uses: process, for_each: { windows: 1h } }
  d: { uses: process, for_each: { items: [1, 2, 3], max: 2 } }
  e: { uses: process, for_each: { items: [1], windows: 1h } }
  f: { uses: process, for_each: '{{ tasks.a.outputs.files }}' }
  g: { uses: process, for_each: ['{{ run.id }}'] }
  h: { uses: process, needs: a, for_each: '{{ tasks.a.outputs.files', with: { text: '{{ tasks.a.rows }}' } }
  i: { uses: process, for_each: { itmes: [1] } }
  j: { uses: process, needs: d, with: { text: '{{ tasks.d.outputs.x }}' } }
"
);

broken!(
    groups,
    "
dag: d
tasks:
  a: { uses: process, needs: [g] }
  g:
    needs: [a]
    if: params.x
    uses: process
    tasks:
      b: { uses: process, needs: [c, g] }
      c: { uses: process, needs: [d] }
      h: { needs: [e], tasks: { e: { uses: process, needs: [nope] } } }
  empty: { tasks: {} }
  m: { uses: models, with: { project: x } }
  z: { uses: process, needs: [m.a, g.cc] }
"
);

broken!(
    limits_roles_and_assets,
    "
dag: d
tasks:
  a: { uses: process, pool: { slots: 2 }, max_active: 0, setup: true, teardown: true }
  b: { uses: process, pool: 'a b', depends_on_past: often, deadline: 10, reads: ['a b', x, x], writes: '{{ run.id }}' }
  c: { uses: serve, teardown: true, deadline: 1h }
  d: { uses: models, with: { project: x }, setup: true, outputs: { rows: integer }, writes: [x] }
  e: { uses: process, outputs: { rows: int, 'a b': integer } }
"
);

broken!(
    service_probes,
    "
dag: d
tasks:
  a: { uses: serve, service: { ready: { http: '127.0.0.1:80', tcp: x }, stop: { signal: KILL } } }
  b: { uses: serve, service: { ready: { http: '127.0.0.1:80' }, live: { log: x } } }
  c: { uses: serve, service: { ready: { log: 'a(b' }, live: { tcp: localhost, failures: 0, every: 1ms } } }
  d: { uses: serve, service: { ready: { lag: 5 }, live: { lag: { at_most: -1 } } } }
  e: { uses: serve, service: { ready: { http: 'http://127.0.0.1:{{ params.port }}' } } }
"
);

broken!(
    notices_and_assets,
    "
dag: d
deadline: soon
retries: many
schedule: { assets: { any: [], all: [x] } }
notify:
  - { on: [fail], http: { url: chat } }
  - { http: { url: 'http://x', json: { text: '{{ notce.text }} {{ tasks.a.outputs }} {{ item }}' } } }
  - { on: success, email: { to: nobody, subjct: x } }
  - { on: success }
tasks: { a: { uses: process, writes: [x] } }
"
);

broken!(
    assets_and_windows,
    "
dag: d
schedule: { assets: ['a b', c, c] }
window: previous-tick
tasks: { a: { uses: process } }
"
);

#[test]
fn a_hint_for_a_need_never_names_what_would_close_a_circle() {
    let hint = |needs: &str| {
        let text = format!(
            "dag: d\ntasks:\n  loads: {{ uses: process }}\n  load: {{ uses: process, needs: [{needs}] }}\n  load2: {{ uses: process, needs: [load] }}\n"
        );
        problems(text.as_bytes())
    };
    assert!(hint("load3").contains("did you mean 'loads'?"), "{}", hint("load3"));
    let grouped = problems(
        b"dag: d\ntasks:\n  report: { uses: process, needs: [etl.load] }\n  etl:\n    needs: [reprt]\n    tasks:\n      load: { uses: process }\n      other: { uses: process, needs: [nothing] }\n",
    );
    assert!(!grouped.contains("did you mean 'report'?"), "{grouped}");
    let later = problems(
        b"dag: d\ntasks:\n  a_task: { uses: process, needs: [b_tsk] }\n  b_task: { uses: process, needs: [g] }\n  g: { tasks: { x: { uses: process, needs: [a_task] } } }\n",
    );
    assert!(later.contains("'b_tsk', which does not exist") && !later.contains("b_task"), "{later}");
}

broken!(
    all_of_a_task_whose_kind_is_unknown,
    "
dag: d
tasks:
  a: { uses: proces, with: { text: '{{ parms.x }}' }, env: { X: '{{ item }}' }, if: 'tasks.b.outputs.x', for_each: 'tasks.c.x' }
  b: { with: { text: '{{ window.start }}' }, needs: [c] }
  c: { uses: process, with: [1], env: { X: '{{ params.y }}' } }
"
);

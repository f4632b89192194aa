// One event of every type that an app or a portal sends, by the SDK's own calls; both lines of the SDK take them.
(function (root) {
  root.sendEvents = function ($t, round) {
    const page = "page-" + round;
    $t.impression({ type: "view", pageid: page, uri: "/" + page });
    $t.interact({ type: "CLICK", id: "button-" + round, pageid: page });
    $t.assess({ item: { id: "q" + round, maxscore: 1, title: "क्या?" }, index: 1, pass: "Yes", score: 1, resvalues: [{ a: "1" }], duration: 2 });
    $t.response({ target: { id: "q" + round, ver: "1.0", type: "question" }, type: "CHOOSE", values: [{ a: "1" }] });
    $t.feedback({ rating: 4, commentid: "c" + round, commenttxt: "good" });
    $t.share({ dir: "Out", type: "File", items: [{ id: "do_" + round, type: "Content", ver: "1" }] });
    $t.audit({ props: ["name"], state: "Updated", prevstate: "Created" });
    $t.error({ err: "E" + round, errtype: "SYSTEM", stacktrace: "at line 1" });
    $t.log({ type: "api_call", level: "INFO", message: "round " + round, params: [{ url: "/api" }] });
    $t.search({ type: "content", query: "गणित", filters: {}, sort: {}, size: 3, topn: [{ identifier: "do_1" }] });
  };
})(typeof globalThis !== "undefined" ? globalThis : window);

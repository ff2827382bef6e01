// Take away: files that the server makes of the runs on stage, and texts to copy that make them again.
(function (page) {
  "use strict";

  const { shared, make, button, parse } = page;
  const LACKS = "It holds the prompt, the settings and what you look at, but no notes: “Player” and “Trace” hold those.";

  function download(answer) {
    const bytes = Uint8Array.from(atob(answer.data), (c) => c.charCodeAt(0));
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: answer.mime }));
    link.download = answer.name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  function takeaway(context) {
    const { element, server } = context;
    const row = element.querySelector(".uc-take-row");
    const status = element.querySelector(".uc-take-status");
    const texts = element.querySelector(".uc-take-texts");
    const root = element.querySelector(".uc-takeaway");

    function choice(label, data, title, act) {
      const node = button("uc-small", label, () => act(node));
      node.title = title;
      Object.assign(node.dataset, data);
      return node;
    }

    function file(label, kind, title) {
      return choice(label, { kind }, title, async (node) => {
        node.disabled = true;
        status.textContent = `Making ${label}…`;
        const theme = document.body.classList.contains("dark") ? "dark" : "light";
        const asked = { ids: shared.ids, kind, step: shared.step, theme, notes: page.notes.now() };
        const answer = shared.here ? await page.here.file(asked) : parse(await server.export_file(asked));
        node.disabled = false;
        if (!answer || answer.error) {
          status.textContent = answer ? answer.error : "The server did not answer.";
          return;
        }
        status.textContent = `${answer.name}, ${Math.max(1, Math.round((answer.data.length * 3) / 4 / 1024))} kB`;
        download(answer);
      });
    }

    function copied(label, name, read, title, lacks = "") {
      return choice(label, { copies: name, title }, title, async () => {
        const text = read();
        await copy(text);
        status.textContent = [`${label} copied.`, lacks].filter(Boolean).join(" ");
        texts.hidden = false;
        texts.textContent = text;
      });
    }

    row.append(
      make("span", "uc-take-title", "Take it away"),
      file("Player", "html", "This player as one HTML file that opens offline, notes included"),
      file("Trace", "npz", "The whole run of every stage with its notes, as one .zip where there are several; open it here again, or the files in it in Python"),
      make("span", "uc-take-title uc-muted", "Film"),
      file("WebP", "webp", "The stages as an animated picture"),
      file("MP4", "mp4", "The stages as a video"),
      file("GIF", "gif", "The stages as an animated picture, for places that take nothing else"),
      make("span", "uc-take-title uc-muted", "This step"),
      file("PNG", "still", "The stages at this step, with each object’s attention"),
      file("Figure PNG", "png", "Pictures and heatmaps over the steps, this one included"),
      file("Figure SVG", "svg", "The same figure as vectors, for a paper"),
      make("span", "uc-take-title uc-muted", "Copy"),
      copied("Link", "link", () => page.address.shareLink(), "A link that restores prompt, seed, settings, step, layer, word and pinned cell, without notes", LACKS),
      copied("Embed", "embed", page.address.embedCode, "The player alone, for a course page: an iframe to paste", LACKS),
      copied("Command", "command", () => shared.command, "The command line that reproduces this run"),
      copied("Python", "python", () => shared.python, "Python that reproduces this run"),
    );
    page.here.offlineOffered().then((offered) => {
      if (!offered) return;
      const about = "The model, the player and menus for a prompt in one file of about 23 MB: opens from disk on a laptop or a phone and draws without a network";
      const act = async (node) => {
        node.disabled = true;
        status.textContent = "Making the page…";
        status.textContent = await page.here.offlinePage();
        node.disabled = false;
      };
      row.append(make("span", "uc-take-title uc-muted", "Offline"), choice("Page that draws", { offline: "page" }, about, act));
    });
    function told(detail) {
      root.hidden = false;
      shared.command = detail.command;
      shared.python = detail.python;
      shared.link = shared.embed = detail.query || detail.example || null;
      for (const node of row.querySelectorAll("[data-copies]")) {
        node.disabled = !shared[node.dataset.copies];
        node.title = node.disabled ? detail.untold || "This cannot describe the edit; use the trace instead" : node.dataset.title;
      }
      const without = shared.command ? "No link can reproduce these runs; the command can." : "Neither a link nor a command can reproduce an edited picture; use the trace instead.";
      status.textContent = shared.link ? "" : detail.untold || without;
      texts.hidden = true;
    }
    document.addEventListener("uc-shown", (event) => told(event.detail));
    page.tellTakeaway = told;
  }

  page.attach.takeaway = takeaway;
  page.shareLink = (extra) => page.address.shareLink(extra);
})(window.UncagePage);

// -- Main: everything is defined; listen, and draw.

addEventListener('resize', redraw);
redraw();
source.listen();
